//! What every kind can do, as the conformance descriptions of API operations say it.

use serde_json::{Value, json};

use crate::harness::{Api, names};

/// An object of this name and these labels.
pub(crate) fn named(name: &str, labels: &Value, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["metadata"] = json!({"name": name, "labels": labels});
    object
}

/// Finds a resource and its parts in the discovery documents of its group.
pub(crate) async fn discovered(api: &Api, group: &str, resource: &str, parts: &[&str]) {
    let has = |list: &Value, field: &str, value: &str| {
        list.as_array().unwrap().iter().any(|item| item[field] == value)
    };
    let groups = api.get("/apis").await.expect(200);
    assert!(has(&groups["groups"], "name", group), "{group}");
    let versions = api.get(&format!("/apis/{group}")).await.expect(200);
    assert!(has(&versions["versions"], "version", "v1"), "{group}/v1");
    let resources = api.get(&format!("/apis/{group}/v1")).await.expect(200);
    assert!(has(&resources["resources"], "name", resource), "{resource}");
    for part in parts {
        let name = format!("{resource}/{part}");
        assert!(has(&resources["resources"], "name", &name), "{name}");
    }
}

/// Makes two, gets them, lists them by label everywhere, patches, replaces, deletes one, and the rest by label.
pub(crate) async fn operations(api: &Api, everywhere: &str, path: &str, object: &Value) {
    operations_named(api, (everywhere, path), ["one", "two"], object).await;
}

/// The same for a kind that does not take any name.
pub(crate) async fn operations_named(
    api: &Api,
    (everywhere, path): (&str, &str),
    [first, second]: [&str; 2],
    object: &Value,
) {
    let labels = json!({"e2e": "operations"});
    for name in [first, second] {
        let made = api.post(path, &named(name, &labels, object)).await.expect(201);
        let read = api.get(&format!("{path}/{name}")).await.expect(200);
        assert_eq!((&read["metadata"]["uid"], &read["spec"]), (&made["metadata"]["uid"], &made["spec"]));
    }
    let selected = format!("{everywhere}?labelSelector=e2e%3Doperations");
    let list = api.get(&selected).await.expect(200);
    assert_eq!(names(&list), [first, second]);
    assert_eq!(names(&api.get(&format!("{path}?labelSelector=e2e%3Doperations")).await.expect(200)).len(), 2);
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = api.watch(&format!("{selected}&watch=1&resourceVersion={version}")).await;

    change(api, &format!("{path}/{first}")).await;
    let modified = format!("MODIFIED {first}");
    assert_eq!(watch.take(2).await, [modified.as_str(), &modified]);

    api.delete(&format!("{path}/{second}?propagationPolicy=Background")).await.expect(200);
    api.get(&format!("{path}/{second}")).await.expect(404);
    let collection = format!("{path}?labelSelector=e2e%3Doperations&propagationPolicy=Background");
    api.delete(&collection).await.expect(200);
    assert_eq!(watch.take(2).await, [format!("DELETED {second}"), format!("DELETED {first}")]);
    assert!(names(&api.get(&selected).await.expect(200)).is_empty());
}

/// Patches a label and replaces the object with another annotation; both are read again.
pub(crate) async fn change(api: &Api, path: &str) {
    let patch = json!({"metadata": {"labels": {"patched": "true"}}});
    let patched = api.patch(path, "strategic-merge-patch", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["patched"], "true");
    let mut replaced = api.get(path).await.expect(200);
    replaced["metadata"]["annotations"]["updated"] = json!("true");
    api.put(path, &replaced).await.expect(200);
    let read = api.get(path).await.expect(200);
    assert_eq!(read["metadata"]["annotations"]["updated"], "true");
    assert_eq!(read["metadata"]["labels"]["patched"], "true");
}

/// What a status can do: be read, patched and replaced, and leave the spec alone.
pub(crate) async fn status_operations(api: &Api, path: &str, patch: &Value) {
    part_operations(api, &format!("{path}/status"), patch, true).await;
}

/// The same for any part of an object that shows its status; `annotates` if metadata can be written with it.
pub(crate) async fn part_operations(api: &Api, part: &str, patch: &Value, annotates: bool) {
    let annotation = if annotates { json!("true") } else { Value::Null };
    let before = api.get(part).await.expect(200);
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}, "status": patch});
    let patched = api.patch(part, "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"]["patched"], annotation);
    for (field, value) in patch["status"].as_object().unwrap() {
        assert_eq!(&patched["status"][field], value, "{field}");
    }
    let read = api.get(part).await.expect(200);
    let mut replaced = read.clone();
    replaced["metadata"]["annotations"]["replaced"] = json!("true");
    let replaced = api.put(part, &replaced).await.expect(200);
    assert_eq!(replaced["metadata"]["annotations"]["replaced"], annotation);
    assert_eq!(replaced["spec"], before["spec"]);
    assert_eq!(replaced["status"], read["status"]);
}
