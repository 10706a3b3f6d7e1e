//! What the conformance suite says of CustomResourceDefinitions as objects. Each test does what the description of its
//! name says.

use serde_json::{Value, json};

use crate::custom::DEFINITIONS;
use crate::harness::{Api, names};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A definition of a kind of this name.
fn definition(kind: &str, labels: &Value, schema: &Value) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "metadata": {"name": format!("{plural}.mygroup.example.com"), "labels": labels},
        "spec": {
            "group": "mygroup.example.com", "scope": "Cluster",
            "names": {"plural": plural, "kind": kind, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// Keeps whatever is in objects.
fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Waits until events tell that a definition is gone.
async fn gone(api: &Api, name: &str, since: &Value) {
    let since = since["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={since}");
    let mut events = api.watch(&path).await;
    while events.next().await.unwrap()["type"] != "DELETED" {}
}

#[tokio::test]
async fn custom_resource_definition_create() {
    let api = Api::start().await;
    let made = api.define(&definition("Foo", &json!({}), &open())).await;
    let path = format!("{DEFINITIONS}/foos.mygroup.example.com");
    let deleted = api.delete(&path).await.expect(200);
    assert_eq!(deleted["metadata"]["uid"], made["metadata"]["uid"]);
    gone(&api, "foos.mygroup.example.com", &made).await;
    api.get(&path).await.expect(404);
}

#[tokio::test]
async fn custom_resource_definition_status_sub_resource() {
    let api = Api::start().await;
    api.define(&definition("Foo", &json!({}), &open())).await;
    let path = format!("{DEFINITIONS}/foos.mygroup.example.com");
    let status = format!("{path}/status");
    let mut read = api.get(&status).await.expect(200);
    let before = read["status"]["conditions"].as_array().unwrap().len();
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    read["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
    let mut updated = api.put(&status, &read).await.expect(200);
    assert_eq!(updated["status"]["conditions"][before]["type"], "StatusUpdate");
    updated["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusPatched"));
    let patch = json!({"status": {"conditions": updated["status"]["conditions"]}});
    api.patch(&status, "merge-patch", &patch).await.expect(200);
    let last = api.get(&path).await.expect(200);
    let kinds: Vec<&Value> =
        last["status"]["conditions"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds[before..], ["StatusUpdate", "StatusPatched"]);
}

#[tokio::test]
async fn labels_sent_with_the_status_of_a_definition_are_kept() {
    let api = Api::start().await;
    let made = api.define(&definition("Foo", &json!({}), &open())).await;
    let status = format!("{DEFINITIONS}/foos.mygroup.example.com/status");
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"scope": "Namespaced"}});
    let patched = api.patch(&status, "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(patched["spec"], made["spec"]);
}

#[tokio::test]
async fn custom_resource_definition_list() {
    let api = Api::start().await;
    for number in 0..10 {
        api.define(&definition(&format!("Foo{number}"), &json!({"e2e": "list"}), &open())).await;
    }
    let other = api.define(&definition("Other", &json!({}), &open())).await;
    let path = format!("{DEFINITIONS}?labelSelector=e2e%3Dlist");
    let list = api.get(&path).await.expect(200);
    let expected: Vec<String> = (0..10).map(|number| format!("foo{number}s.mygroup.example.com")).collect();
    assert_eq!(names(&list), expected);
    let mut events = api
        .watch(&format!(
            "{path}&watch=1&resourceVersion={}",
            list["metadata"]["resourceVersion"].as_str().unwrap()
        ))
        .await;
    api.delete(&path).await.expect(200);
    let mut left = expected.len();
    while left > 0 {
        left -= usize::from(events.next().await.unwrap()["type"] == "DELETED");
    }
    assert_eq!(names(&api.get(DEFINITIONS).await.expect(200)), [other["metadata"]["name"].as_str().unwrap()]);
}

#[tokio::test]
async fn custom_resource_definition_watch() {
    let api = Api::start().await;
    let path = "/apis/mygroup.example.com/v1beta1/foos";
    let made = api.define(&definition("Foo", &json!({}), &open())).await;
    for name in ["name1", "name2"] {
        let mut events = api.watch(&format!("{path}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
        let object = json!({"metadata": {"name": name}, "content": {"key": "value"}});
        api.post(path, &object).await.expect(201);
        api.patch(&format!("{path}/{name}"), "merge-patch", &json!({"dummy": "test"})).await.expect(200);
        api.delete(&format!("{path}/{name}")).await.expect(200);
        let told = events.take(3).await;
        assert_eq!(told, [format!("ADDED {name}"), format!("MODIFIED {name}"), format!("DELETED {name}")]);
    }
    let mut events = api.watch(&format!("{DEFINITIONS}?watch=1")).await;
    assert_eq!(events.take(1).await, ["ADDED foos.mygroup.example.com"]);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let named = format!("{DEFINITIONS}/foos.mygroup.example.com");
    api.patch(&named, "merge-patch", &labels).await.expect(200);
    assert_eq!(events.take(1).await, ["MODIFIED foos.mygroup.example.com"]);
    api.delete(&named).await.expect(200);
    gone(&api, "foos.mygroup.example.com", &made).await;
}

/// The schema of objects whose `spec` has these fields.
fn texts(fields: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "default": {}, "properties": fields}}})
}

#[tokio::test]
async fn custom_resource_definition_defaulting() {
    let api = Api::start().await;
    let (plain, a, b) = (
        json!({"type": "string"}),
        json!({"type": "string", "default": "A"}),
        json!({"type": "string", "default": "B"}),
    );
    api.define(&definition("Foo", &json!({}), &texts(&json!({"a": plain, "b": plain})))).await;
    let (path, named) =
        ("/apis/mygroup.example.com/v1beta1/foos", "/apis/mygroup.example.com/v1beta1/foos/first");
    let made = api.post(path, &json!({"metadata": {"name": "first"}, "spec": {}})).await.expect(201);
    assert_eq!(made["spec"], json!({}));
    let change = |a: &Value, b: &Value| {
        let schema = texts(&json!({"a": a, "b": b}));
        json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}])
    };
    let defined = format!("{DEFINITIONS}/foos.mygroup.example.com");
    api.patch(&defined, "json-patch", &change(&a, &plain)).await.expect(200);
    assert_eq!(api.get(named).await.expect(200)["spec"], json!({"a": "A"}));
    let second = api.post(path, &json!({"metadata": {"name": "second"}, "spec": {}})).await.expect(201);
    assert_eq!(second["spec"], json!({"a": "A"}));
    api.patch(&defined, "json-patch", &change(&plain, &b)).await.expect(200);
    // What was only read with a default has none any more; what was written with one has it for good.
    assert_eq!(api.get(named).await.expect(200)["spec"], json!({"b": "B"}));
    let second = api.get("/apis/mygroup.example.com/v1beta1/foos/second").await.expect(200);
    assert_eq!(second["spec"], json!({"a": "A", "b": "B"}));
}

#[tokio::test]
async fn custom_resource_definition_discovery() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.expect(200);
    let groups = groups["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == "apiextensions.k8s.io").unwrap();
    let version = json!({"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"});
    assert!(group["versions"].as_array().unwrap().contains(&version));
    let group = api.get("/apis/apiextensions.k8s.io").await.expect(200);
    assert!(group["versions"].as_array().unwrap().contains(&version));
    let resources = api.get("/apis/apiextensions.k8s.io/v1").await.expect(200);
    let mut resources = resources["resources"].as_array().unwrap().iter();
    assert!(resources.any(|resource| resource["name"] == "customresourcedefinitions"));
}

#[tokio::test]
async fn a_definition_goes_as_soon_as_the_last_of_its_objects_does() {
    let api = Api::start().await;
    let made = api.define(&definition("Foo", &json!({}), &open())).await;
    let (path, named) =
        ("/apis/mygroup.example.com/v1beta1/foos", "/apis/mygroup.example.com/v1beta1/foos/kept");
    api.post(path, &json!({"metadata": {"name": "kept", "finalizers": ["example.com/mine"]}}))
        .await
        .expect(201);
    api.post(path, &json!({"metadata": {"name": "other"}})).await.expect(201);
    let mut events = api.watch(&format!("{path}?watch=1")).await;
    assert_eq!(events.take(2).await, ["ADDED kept", "ADDED other"]);
    api.delete(&format!("{DEFINITIONS}/foos.mygroup.example.com")).await.expect(200);
    assert_eq!(events.take(2).await, ["MODIFIED kept", "DELETED other"]);
    api.post(path, &json!({"metadata": {"name": "new"}})).await.refused(
        405,
        "MethodNotAllowed",
        "create not allowed while custom resource definition is terminating",
    );
    api.patch(named, "merge-patch", &json!({"metadata": {"finalizers": null}})).await.expect(200);
    gone(&api, "foos.mygroup.example.com", &made).await;
    assert_eq!(api.store.snapshot().count("/registry/mygroup.example.com/"), 0);
}

#[tokio::test]
async fn aggregated_discovery_interface_crds() {
    let api = Api::start().await;
    api.define(&definition("Foo", &json!({}), &open())).await;
    let document = api.get_as("/apis", AGGREGATED).await.expect(200);
    let group = group(&document, "mygroup.example.com").unwrap();
    assert_eq!(group["versions"][0]["version"], "v1beta1");
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!((&resource["resource"], &resource["scope"]), (&json!("foos"), &json!("Cluster")));
    let kind = json!({"group": "mygroup.example.com", "version": "v1beta1", "kind": "Foo"});
    assert_eq!(resource["responseKind"], kind);
}

#[tokio::test]
async fn aggregated_discovery_endpoint_accept_headers_crds() {
    let api = Api::start().await;
    api.define(&definition("Foo", &json!({}), &open())).await;
    let answer = api.get_as("/apis", &format!("{AGGREGATED},application/json")).await;
    assert_eq!(answer.headers["content-type"], AGGREGATED);
    assert!(group(&answer.expect(200), "mygroup.example.com").is_some());
}

/// A group of an aggregated discovery document.
fn group<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    document["items"].as_array()?.iter().find(|group| group["metadata"]["name"] == name)
}
