//! Kinds that definitions add: established, served, shown, watched, scaled, and gone again.

use serde_json::{Value, json};

use crate::harness::{Api, names};

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// A definition of widgets in these versions.
fn definition(versions: &Value) -> Value {
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": versions,
        },
    })
}

fn version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer"}, "color": {"type": "string", "default": "red"},
                "replicas": {"type": "integer"},
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}},
    })
}

impl Api {
    /// Creates a definition and waits until it is established.
    pub(crate) async fn define(&self, definition: &Value) -> Value {
        let name = definition["metadata"]["name"].as_str().unwrap();
        let path = format!("{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3D{name}");
        let mut events = self.watch(&path).await;
        self.post(DEFINITIONS, definition).await.expect(201);
        loop {
            let object = events.next().await.unwrap()["object"].take();
            if condition(&object, "NamesAccepted").is_some() {
                return object;
            }
        }
    }
}

/// The status, reason and message of a condition.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<[&'a str; 3]> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some(["status", "reason", "message"].map(|field| found[field].as_str().unwrap()))
}

#[tokio::test]
async fn a_definition_is_served_once_it_is_established() {
    let api = Api::start().await;
    assert_eq!(api.get(WIDGETS).await.expect(404), Value::Null);
    let mut asked = definition(&json!([version("v1", true)]));
    asked["spec"]["versions"][0]["additionalPrinterColumns"] =
        json!([{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]);
    asked["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    let established = api.define(&asked).await;
    assert_eq!(condition(&established, "Established").unwrap()[0], "True");
    for (name, color) in [("a", None), ("b", Some("blue"))] {
        let made = api
            .post(WIDGETS, &json!({"metadata": {"name": name}, "spec": {"size": 3, "color": color}}))
            .await;
        let made = made.expect(201);
        assert_eq!((&made["kind"], &made["apiVersion"]), (&"Widget".into(), &"example.com/v1".into()));
        assert_eq!(made["spec"]["color"], color.unwrap_or("red"));
        assert_eq!(made["metadata"]["generation"], 1);
    }
    let list = api.get(WIDGETS).await.expect(200);
    assert_eq!((&list["kind"], names(&list)), (&"WidgetList".into(), vec!["a", "b"]));
    let blue = api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    assert_eq!(names(&blue), ["b"]);
    let table = api.get_as(WIDGETS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.expect(200);
    assert_eq!(table["rows"][1]["cells"], json!(["b", 3]));
    let patched =
        api.patch(&format!("{WIDGETS}/a"), "merge-patch", &json!({"spec": {"size": 4}})).await.expect(200);
    assert_eq!(patched["metadata"]["generation"], 2);
    let answer = api.patch(&format!("{WIDGETS}/a"), "strategic-merge-patch", &json!({})).await;
    assert_eq!(answer.code.as_u16(), 415);
    let wrong =
        api.post(WIDGETS, &json!({"metadata": {"name": "c"}, "spec": {"size": "large"}})).await.expect(422);
    assert_eq!(wrong["details"]["causes"][0]["field"], "spec.size");
}

#[tokio::test]
async fn discovery_tells_of_what_definitions_add() {
    let api = Api::start().await;
    let groups = async |form: &str| api.get_as("/apis", form).await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let before = groups(aggregated).await.headers["etag"].clone();
    let mut with_scale = version("v1", true);
    with_scale["subresources"] = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}});
    api.define(&definition(&json!([version("v1beta1", false), with_scale]))).await;
    let answer = groups(aggregated).await;
    assert_ne!(answer.headers["etag"], before);
    let document = answer.expect(200);
    let group = document["items"].as_array().unwrap().last().unwrap();
    assert_eq!(group["metadata"]["name"], "example.com");
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!(resource["responseKind"], json!({"group": "example.com", "version": "v1", "kind": "Widget"}));
    assert_eq!(resource["subresources"].as_array().unwrap().len(), 2);
    let list = groups("application/json").await.expect(200);
    let last = list["groups"].as_array().unwrap().last().unwrap();
    assert_eq!(last["preferredVersion"]["groupVersion"], "example.com/v1");
    assert_eq!(api.get("/apis/example.com").await.expect(200)["versions"].as_array().unwrap().len(), 2);
    let resources = api.get("/apis/example.com/v1").await.expect(200);
    let plain: Vec<_> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(plain, ["widgets", "widgets/scale", "widgets/status"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));
}

#[tokio::test]
async fn a_widget_has_a_status_and_a_scale_of_its_own() {
    let api = Api::start().await;
    let mut scaled = version("v1", true);
    scaled["subresources"] = json!({"status": {}, "scale": {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.count", "labelSelectorPath": ".status.selector",
    }});
    api.define(&definition(&json!([scaled]))).await;
    let body = json!({"metadata": {"name": "a"}, "spec": {"replicas": 2}, "status": {"count": 9}});
    let made = api.post(WIDGETS, &body).await.expect(201);
    assert_eq!(made["status"], Value::Null);
    let path = format!("{WIDGETS}/a");
    let mut status = made.clone();
    status["status"] = json!({"count": 1, "selector": "app=a"});
    status["spec"]["replicas"] = 7.into();
    let written = api.put(&format!("{path}/status"), &status).await.expect(200);
    assert_eq!((&written["spec"]["replicas"], &written["metadata"]["generation"]), (&2.into(), &1.into()));
    let scale = api.get(&format!("{path}/scale")).await.expect(200);
    assert_eq!(scale["spec"], json!({"replicas": 2}));
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "app=a"}));
    let patch = json!({"spec": {"replicas": 5}});
    api.patch(&format!("{path}/scale"), "merge-patch", &patch).await.expect(200);
    let after = api.get(&path).await.expect(200);
    assert_eq!((&after["spec"]["replicas"], &after["metadata"]["generation"]), (&5.into(), &2.into()));
    api.get(&format!("{path}/nope")).await.refused(404, "NotFound", "widgets.example.com \"a\" not found");
}

#[tokio::test]
async fn an_object_is_served_in_every_version() {
    let api = Api::start().await;
    let mut old = version("v1beta1", true);
    old["deprecated"] = true.into();
    api.define(&definition(&json!([old.clone(), version("v1", false)]))).await;
    let beta = WIDGETS.replace("/v1/", "/v1beta1/");
    let answer = api.post(&beta, &json!({"metadata": {"name": "a"}, "spec": {"size": 1}})).await;
    let warning = answer.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains("example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"),
        "{warning}"
    );
    answer.expect(201);
    let shown = api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!((&shown["apiVersion"], &shown["spec"]["size"]), (&"example.com/v1".into(), &1.into()));
    let mut events = api.watch(&format!("{WIDGETS}?watch=1")).await;
    assert_eq!(events.next().await.unwrap()["object"]["apiVersion"], "example.com/v1");
    // Another version becomes the one to store; what was stored before is read all the same.
    old["storage"] = false.into();
    let versions = json!({"spec": {"versions": [old, version("v1", true)]}});
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let changed = api.patch(&path, "merge-patch", &versions).await.expect(200);
    assert_eq!(changed["status"]["storedVersions"], json!(["v1beta1", "v1"]));
    assert_eq!(events.next().await, None, "a watch ends when its definition says something else");
    for (collection, api_version) in [(WIDGETS, "example.com/v1"), (&*beta, "example.com/v1beta1")] {
        let list = api.get(collection).await.expect(200);
        assert_eq!(list["items"][0]["apiVersion"], api_version);
        let mut events = api.watch(&format!("{collection}?watch=1")).await;
        assert_eq!(events.next().await.unwrap()["object"]["apiVersion"], api_version);
        let patch = json!({"metadata": {"labels": {"x": api_version.replace('/', ".")}}});
        api.patch(&format!("{collection}/a"), "merge-patch", &patch).await.expect(200);
        let event = events.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["apiVersion"]),
            (&"MODIFIED".into(), &api_version.into())
        );
    }
}

#[tokio::test]
async fn defaults_of_a_later_schema_are_seen_in_what_was_stored_before() {
    let api = Api::start().await;
    api.define(&definition(&json!([version("v1", true)]))).await;
    api.post(WIDGETS, &json!({"metadata": {"name": "a"}, "spec": {"size": 1}})).await.expect(201);
    let mut later = version("v1", true);
    later["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] =
        json!({"color": {"type": "string"}, "shape": {"type": "string", "default": "round"}});
    let versions = json!({"spec": {"versions": [later]}});
    api.patch(&format!("{DEFINITIONS}/widgets.example.com"), "merge-patch", &versions).await.expect(200);
    let wanted = json!({"color": "red", "shape": "round"});
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"], wanted);
    assert_eq!(api.get(WIDGETS).await.expect(200)["items"][0]["spec"], wanted);
}

#[tokio::test]
async fn the_objects_of_a_definition_go_with_it() {
    let api = Api::start().await;
    api.define(&definition(&json!([version("v1", true)]))).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/wait"]}});
    api.post(WIDGETS, &held).await.expect(201);
    api.post(WIDGETS, &json!({"metadata": {"name": "free"}})).await.expect(201);
    let mut widgets = api.watch(&format!("{WIDGETS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")).await;
    let path = format!("{DEFINITIONS}?watch=1");
    let mut events = api.watch(&path).await;
    events.next().await.unwrap();
    let marked = api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(condition(&marked, "Terminating").unwrap()[..2], ["True", "InstanceDeletionPending"]);
    let message = "create not allowed while custom resource definition is terminating";
    let refused = api.post(WIDGETS, &json!({"metadata": {"name": "late"}})).await;
    refused.refused(405, "MethodNotAllowed", message);
    assert_eq!(widgets.take(1).await, ["DELETED free"]);
    api.patch(&format!("{WIDGETS}/held"), "merge-patch", &json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);
    loop {
        if events.next().await.unwrap()["type"] == "DELETED" {
            break;
        }
    }
    assert_eq!(api.get(WIDGETS).await.expect(404), Value::Null);
}

#[tokio::test]
async fn names_are_given_to_who_asks_first_and_to_the_next_when_they_are_free() {
    let api = Api::start().await;
    api.define(&definition(&json!([version("v1", true)]))).await;
    let mut second = definition(&json!([version("v1", true)]));
    second["metadata"]["name"] = "others.example.com".into();
    second["spec"]["names"]["plural"] = "others".into();
    let refused = api.define(&second).await;
    let expected = ["False", "ListKindConflict", "\"WidgetList\" is already in use"];
    assert_eq!(condition(&refused, "NamesAccepted"), Some(expected));
    assert_eq!(condition(&refused, "Established").unwrap()[..2], ["False", "NotAccepted"]);
    let others = "/apis/example.com/v1/namespaces/default/others";
    assert_eq!(api.get(others).await.expect(404), Value::Null);
    let mut events =
        api.watch(&format!("{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3Dothers.example.com")).await;
    api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    loop {
        let event = events.next().await.unwrap();
        if condition(&event["object"], "Established").is_some_and(|condition| condition[0] == "True") {
            break;
        }
    }
    assert_eq!(names(&api.get(others).await.expect(200)).len(), 0);
}
