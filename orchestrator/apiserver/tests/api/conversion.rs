//! Conversion webhooks of definitions, against a real HTTPS server: what the conformance suite says of them, and more.

use serde_json::{Value, json};

use crate::custom::DEFINITIONS;
use crate::harness::{Api, names};
use crate::hooks::Hooks;

const GROUP: &str = "/apis/stable.example.com";

/// The path of objects in a version.
pub(crate) fn tests(version: &str) -> String {
    format!("{GROUP}/{version}/namespaces/default/tests")
}

/// Makes `hostPort` of v1 the `host` and `port` of v2, and back.
fn converted(object: &Value, wanted: &str) -> Value {
    let mut new = object.clone();
    let fields = new.as_object_mut().unwrap();
    if wanted.ends_with("/v2") {
        if let Some(both) = fields.remove("hostPort") {
            let (host, port) = both.as_str().unwrap().split_once(':').unwrap();
            new["host"] = json!(host);
            new["port"] = json!(port);
        }
    } else if let (Some(host), Some(port)) = (fields.remove("host"), fields.remove("port")) {
        new["hostPort"] = json!(format!("{}:{}", host.as_str().unwrap(), port.as_str().unwrap()));
    }
    new["apiVersion"] = json!(wanted);
    new
}

/// The answer to a ConversionReview.
pub(crate) fn convert(path: &str, request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let objects = request["objects"].as_array().unwrap().iter();
    let mut objects: Vec<Value> = objects.map(|object| converted(object, wanted)).collect();
    match path {
        "/relabel" => {
            for object in &mut objects {
                object["metadata"]["labels"] = json!({"seen-as": wanted.replace('/', "-")});
                object["metadata"]["generation"] = json!(99);
                object["metadata"]["finalizers"] = json!(["example.com/none"]);
            }
        }
        "/rename" => objects.iter_mut().for_each(|object| object["metadata"]["name"] = json!("other")),
        "/forget" => objects.clear(),
        "/refuse" => return json!({"result": {"status": "Failure", "message": "not today"}}),
        _ => {}
    }
    json!({"result": {"status": "Success"}, "convertedObjects": objects})
}

fn version(name: &str, fields: &[&str], storage: bool) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    let selectable: Vec<Value> =
        fields.iter().map(|field| json!({"jsonPath": format!(".{field}")})).collect();
    json!({
        "name": name, "served": true, "storage": storage, "selectableFields": selectable,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    })
}

/// The versions of the suite's definition, one of which is to store.
fn versions(stored: &str) -> Value {
    json!([version("v1", &["hostPort"], stored == "v1"), version("v2", &["host", "port"], stored == "v2"),])
}

/// Defines tests that are stored in v1 and converted by the hook at a path.
pub(crate) async fn define(api: &Api, hooks: &Hooks, path: &str) {
    api.define(&json!({
        "metadata": {"name": "tests.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "names": {"plural": "tests", "kind": "Test"},
            "versions": versions("v1"),
            "conversion": {"strategy": "Webhook", "webhook": {
                "clientConfig": hooks.at_path(path), "conversionReviewVersions": ["v1", "v1beta1"],
            }},
        },
    }))
    .await;
}

/// Makes one of the given name at v1.
async fn make(api: &Api, name: &str, host_port: &str) -> Value {
    api.post(&tests("v1"), &json!({"metadata": {"name": name}, "hostPort": host_port})).await.expect(201)
}

#[tokio::test]
async fn custom_resource_definition_conversion_webhook_conversion_custom_resource() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    assert_eq!(make(&api, "a", "localhost:8080").await["hostPort"], "localhost:8080");
    assert_eq!(hooks.paths().len(), 0);
    let read = api.get(&format!("{}/a", tests("v2"))).await.expect(200);
    assert_eq!((&read["host"], &read["port"]), (&json!("localhost"), &json!("8080")));
    assert_eq!(read["apiVersion"], "stable.example.com/v2");
    assert_eq!(read.get("hostPort"), None);
    let request = hooks.seen.lock()[0].1.clone();
    assert_eq!(request["desiredAPIVersion"], "stable.example.com/v2");
    assert_eq!(request["objects"][0]["apiVersion"], "stable.example.com/v1");
}

#[tokio::test]
async fn custom_resource_definition_conversion_webhook_convert_mixed_version_list() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    make(&api, "a", "localhost:8080").await;
    make(&api, "b", "localhost:8081").await;
    let path = format!("{DEFINITIONS}/tests.stable.example.com");
    api.patch(&path, "merge-patch", &json!({"spec": {"versions": versions("v2")}})).await.expect(200);
    let new = json!({"metadata": {"name": "c"}, "host": "localhost", "port": "8082"});
    api.post(&tests("v2"), &new).await.expect(201);
    assert_eq!(hooks.paths().len(), 0);
    let list = api.get(&tests("v2")).await.expect(200);
    let ports: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["port"].as_str().unwrap()).collect();
    assert_eq!((names(&list), ports), (vec!["a", "b", "c"], vec!["8080", "8081", "8082"]));
    let seen = hooks.seen.lock().clone();
    assert_eq!(seen.len(), 1, "all objects are converted at once");
    assert_eq!(names(&json!({"items": seen[0].1["objects"]})), ["a", "b"]);
    let list = api.get(&tests("v1")).await.expect(200);
    assert_eq!(list["items"][2]["hostPort"], "localhost:8082");
}

#[tokio::test]
async fn custom_resource_definition_field_selectors_list_watch_register_informers() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    make(&api, "a", "host1:80").await;
    make(&api, "b", "host1:8080").await;
    make(&api, "c", "host2:80").await;
    let selected = |version: &str, selector: &str| {
        let selector = selector.replace('=', "%3D").replace(':', "%3A").replace(',', "%2C");
        format!("{}?fieldSelector={selector}", tests(version))
    };
    let v1 = selected("v1", "hostPort=host1:80");
    let (host, both) = (selected("v2", "host=host1"), selected("v2", "host=host1,port=80"));
    for (path, wanted) in [(&v1, vec!["a"]), (&host, vec!["a", "b"]), (&both, vec!["a"])] {
        assert_eq!(names(&api.get(path).await.expect(200)), wanted, "{path}");
    }
    let first = api.get(&format!("{host}&limit=1")).await.expect(200);
    assert_eq!(names(&first), ["a"]);
    let token = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&api.get(&format!("{host}&limit=1&continue={token}")).await.expect(200)), ["b"]);
    let mut old = api.watch(&format!("{v1}&watch=1")).await;
    let mut new = api.watch(&format!("{host}&watch=1")).await;
    assert_eq!(old.take(1).await, ["ADDED a"]);
    assert_eq!(new.take(2).await, ["ADDED a", "ADDED b"]);
    let moved = json!({"host": "host2"});
    api.patch(&format!("{}/a", tests("v2")), "merge-patch", &moved).await.expect(200);
    let back = json!({"hostPort": "host1:80"});
    api.patch(&format!("{}/c", tests("v1")), "merge-patch", &back).await.expect(200);
    api.delete(&format!("{}/b", tests("v1"))).await.expect(200);
    assert_eq!(old.take(2).await, ["DELETED a", "ADDED c"]);
    assert_eq!(new.take(3).await, ["DELETED a", "ADDED c", "DELETED b"]);
    let deleted = api.delete(&host).await.expect(200);
    assert_eq!(names(&deleted), ["c"]);
    assert_eq!(names(&api.get(&tests("v2")).await.expect(200)), ["a"]);
}

#[tokio::test]
async fn watchers_of_a_version_share_what_was_converted() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    let mut watches = [
        api.watch(&format!("{}?watch=1", tests("v2"))).await,
        api.watch(&format!("{}?watch=1", tests("v2"))).await,
    ];
    make(&api, "a", "localhost:8080").await;
    for watch in &mut watches {
        assert_eq!(watch.next().await.unwrap()["object"]["port"], "8080");
    }
    assert_eq!(hooks.paths().len(), 1);
}

#[tokio::test]
async fn what_is_there_when_a_watch_begins_is_converted_at_once() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    for name in ["a", "b", "c"] {
        make(&api, name, "localhost:8080").await;
    }
    let mut events = api.watch(&format!("{}?watch=1", tests("v2"))).await;
    assert_eq!(events.take(3).await, ["ADDED a", "ADDED b", "ADDED c"]);
    assert_eq!(hooks.paths().len(), 1);
}

#[tokio::test]
async fn a_write_in_another_version_is_converted_to_what_is_stored() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    let config = json!({
        "apiVersion": "stable.example.com/v1", "kind": "Test", "metadata": {"name": "a"}, "hostPort": "one:1",
    });
    api.apply(&format!("{}/a", tests("v1")), "first", &config).await.expect(201);
    let changed = json!({"port": "2"});
    let path = format!("{}/a", tests("v2"));
    let changed = api.patch(&path, "merge-patch", &changed).await.expect(200);
    assert_eq!((&changed["host"], &changed["port"]), (&json!("one"), &json!("2")));
    assert_eq!(api.get(&format!("{}/a", tests("v1"))).await.expect(200)["hostPort"], "one:2");
    // What the first manager owned in its version is what changed, and so is no longer its own.
    let owners = changed["metadata"]["managedFields"].as_array().unwrap();
    let of: Vec<_> = owners.iter().map(|owner| (&owner["apiVersion"], &owner["fieldsV1"])).collect();
    assert_eq!(of, [(&json!("stable.example.com/v2"), &json!({"f:port": {}}))]);
    let again = api.patch(&path, "merge-patch", &json!({"port": "2"})).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_webhook_changes_no_metadata_but_labels_and_annotations() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/relabel").await;
    make(&api, "a", "localhost:8080").await;
    let read = api.get(&format!("{}/a", tests("v2"))).await.expect(200);
    let metadata = &read["metadata"];
    assert_eq!(metadata["labels"], json!({"seen-as": "stable.example.com-v2"}));
    assert_eq!((&metadata["generation"], metadata.get("finalizers")), (&json!(1), None));
    let selector = "labelSelector=seen-as%3Dstable.example.com-v2";
    assert_eq!(names(&api.get(&format!("{}?{selector}", tests("v2"))).await.expect(200)), ["a"]);
    assert!(names(&api.get(&format!("{}?{selector}", tests("v1"))).await.expect(200)).is_empty());
}

#[tokio::test]
async fn a_webhook_that_answers_nonsense_is_told_of() {
    let about = "conversion webhook for stable.example.com/v1, Kind=Test";
    let hooks = Hooks::start(convert).await;
    for (path, why) in [
        ("/refuse", "failed: not today"),
        ("/forget", "returned 0 objects, expected 1"),
        ("/rename", "returned invalid object: must have the same name: a != other"),
    ] {
        let api = Api::start().await;
        define(&api, &hooks, path).await;
        make(&api, "a", "localhost:8080").await;
        let message = format!("{about} {why}");
        api.get(&format!("{}/a", tests("v2"))).await.refused(500, "", &message);
        api.get(&tests("v2")).await.refused(500, "", &message);
        let event = api.watch(&format!("{}?watch=1", tests("v2"))).await.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["message"]), (&json!("ERROR"), &json!(message)));
        api.get(&format!("{}/a", tests("v1"))).await.expect(200);
        api.delete(&format!("{DEFINITIONS}/tests.stable.example.com")).await.expect(200);
    }
}

#[tokio::test]
async fn owners_stay_as_they_are_where_a_webhook_fails() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    let path = |version: &str| format!("{}/a", tests(version));
    make(&api, "a", "one:1").await;
    api.patch(&path("v2"), "merge-patch", &json!({"port": "9"})).await.expect(200);
    let definition = format!("{DEFINITIONS}/tests.stable.example.com");
    let broken = json!({"spec": {"conversion": {"webhook": {"clientConfig": hooks.at_path("/refuse")}}}});
    api.patch(&definition, "merge-patch", &broken).await.expect(200);
    let before = api.get(&path("v1")).await.expect(200);
    let changed = api.patch(&path("v1"), "merge-patch", &json!({"hostPort": "two:2"})).await.expect(200);
    assert_eq!(changed["hostPort"], "two:2");
    assert_eq!(changed["metadata"]["managedFields"], before["metadata"]["managedFields"]);
    let refused = "conversion webhook for stable.example.com/v1, Kind=Test failed: not today";
    let config = json!({
        "apiVersion": "stable.example.com/v1", "kind": "Test", "metadata": {"name": "a"}, "hostPort": "three:3",
    });
    api.apply(&path("v1"), "other", &config).await.refused(500, "", refused);
}
