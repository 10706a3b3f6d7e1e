//! `metadata.managedFields`: who owns what after each kind of write.

use http::Request;
use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, deployment};

/// The entries as (manager, operation, subresource, fields).
fn entries(object: &Value) -> Vec<(String, String, String, Value)> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|entry| {
            let operation = text(entry, "operation");
            (text(entry, "manager"), operation, text(entry, "subresource"), entry["fieldsV1"].clone())
        })
        .collect()
}

fn entry(
    manager: &str,
    operation: &str,
    subresource: &str,
    fields: Value,
) -> (String, String, String, Value) {
    (manager.to_owned(), operation.to_owned(), subresource.to_owned(), fields)
}

#[tokio::test]
async fn every_write_gives_its_fields_to_its_manager() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/m");
    let body = json!({"metadata": {"name": "m"}, "data": {"x": "1", "y": "1"}});
    let made = api.post(&format!("{CONFIG_MAPS}?fieldManager=maker"), &body).await.expect(201);
    let both = json!({"f:data": {".": {}, "f:x": {}, "f:y": {}}});
    assert_eq!(entries(&made), [entry("maker", "Update", "", both)]);
    assert_eq!(made["metadata"]["managedFields"][0]["time"], "2024-05-06T07:08:09Z");

    api.clock.advance(10);
    let mut changed = made.clone();
    changed["data"]["x"] = "2".into();
    api.put(&format!("{path}?fieldManager=putter"), &changed).await.expect(200);
    let patch = json!([{"op": "add", "path": "/data/z", "value": "1"}]);
    let patched = api.patch(&format!("{path}?fieldManager=patcher"), "json-patch", &patch).await.expect(200);
    assert_eq!(
        entries(&patched),
        [
            entry("maker", "Update", "", json!({"f:data": {".": {}, "f:y": {}}})),
            entry("patcher", "Update", "", json!({"f:data": {"f:z": {}}})),
            entry("putter", "Update", "", json!({"f:data": {"f:x": {}}})),
        ]
    );
}

#[tokio::test]
async fn a_client_that_names_no_manager_is_known_by_its_user_agent() {
    let api = Api::start().await;
    let agent = format!("{}\u{7}tool/1.0 (linux)", "x".repeat(126));
    for (agent, manager) in [(None, "unknown"), (Some("kubectl/v1.32"), "kubectl"), (Some("a b"), "a b")] {
        let mut request = Request::post(format!("{CONFIG_MAPS}?dryRun=All"));
        if let Some(agent) = agent {
            request = request.header("user-agent", agent);
        }
        let body = json!({"metadata": {"name": "m"}, "data": {"x": "1"}}).to_string();
        let made = api.send(request.body(body.into()).unwrap()).await.expect(201);
        assert_eq!(entries(&made)[0].0, manager);
    }
    assert!(
        Request::post("/").header("user-agent", agent).body(()).is_err(),
        "control characters stay outside"
    );
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_version_and_times() {
    let api = Api::start().await;
    let made = api.pod("p", None).await;
    api.clock.advance(10);
    let path = format!("{PODS}/p");
    assert_eq!(api.put(&path, &made).await.expect(200), made);
    assert_eq!(api.patch(&path, "merge-patch", &json!({"spec": {}})).await.expect(200), made);
}

#[tokio::test]
async fn status_has_owners_of_its_own_and_no_others() {
    let api = Api::start().await;
    let mut body = deployment("d");
    body["status"] = json!({"replicas": 3});
    api.post(&format!("{DEPLOYMENTS}?fieldManager=user"), &body).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/status?fieldManager=controller");
    let patch = json!({"spec": {"replicas": 7}, "status": {"replicas": 2}});
    let changed = api.patch(&path, "merge-patch", &patch).await.expect(200);
    let all = entries(&changed);
    assert_eq!(all[0], entry("controller", "Update", "status", json!({"f:status": {"f:replicas": {}}})));
    assert_eq!(all[1].0, "user");
    assert!(all[1].3.get("f:status").is_none() && all[1].3["f:spec"]["f:replicas"] == json!({}));
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 4},
    });
    let answer = api.apply(&format!("{DEPLOYMENTS}/d/status"), "other", &config).await;
    answer.refused(
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"controller\" with subresource \"status\" using apps/v1: \
         .status.replicas",
    );
}

#[tokio::test]
async fn scaling_moves_the_replicas_to_who_scales() {
    let api = Api::start().await;
    api.post(&format!("{DEPLOYMENTS}?fieldManager=user"), &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let five = json!({"spec": {"replicas": 5}});
    let scaled = api.patch(&format!("{path}?fieldManager=hpa"), "merge-patch", &five).await.expect(200);
    assert!(scaled["metadata"].get("managedFields").is_none());
    let object = api.get(&format!("{DEPLOYMENTS}/d")).await.expect(200);
    let all = entries(&object);
    assert_eq!(all[0], entry("hpa", "Update", "scale", json!({"f:spec": {"f:replicas": {}}})));
    assert!(all[1].0 == "user" && all[1].3["f:spec"].get("f:replicas").is_none());
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 2},
    });
    api.apply(&path, "me", &scale).await.refused(
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using autoscaling/v1: \
         .spec.replicas",
    );
    assert_eq!(api.apply(&path, "me&force=true", &scale).await.expect(200)["spec"]["replicas"], 2);
    let object = api.get(&format!("{DEPLOYMENTS}/d")).await.expect(200);
    assert_eq!(entries(&object)[0], entry("me", "Apply", "scale", json!({"f:spec": {"f:replicas": {}}})));
    let mut config = deployment("d");
    config["spec"]["replicas"] = 9.into();
    let answer = api.apply(&format!("{DEPLOYMENTS}/d"), "user", &config).await.expect(409);
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.ends_with("conflict with \"me\" with subresource \"scale\": .spec.replicas"),
        "{message}"
    );
}

#[tokio::test]
async fn owners_can_be_forgotten_and_set_but_not_broken() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/m");
    let body = json!({"metadata": {"name": "m"}, "data": {"x": "1"}});
    let made = api.post(&format!("{CONFIG_MAPS}?fieldManager=a"), &body).await.expect(201);
    let broken = json!({"metadata": {"managedFields": [{"manager": "b", "operation": "Update"}]}});
    let kept = api.patch(&path, "merge-patch", &broken).await.expect(200);
    assert_eq!(entries(&kept), entries(&made));
    let set = json!([{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "c"}]);
    let renamed = api.patch(&path, "json-patch", &set).await.expect(200);
    assert_eq!(entries(&renamed)[0].0, "c");
    for (name, empty) in [("e", json!([])), ("m", json!([{}]))] {
        if name != "m" {
            api.post(CONFIG_MAPS, &json!({"metadata": {"name": name}, "data": {"x": "1"}})).await.expect(201);
        }
        let forget = json!({"metadata": {"managedFields": empty}});
        let path = format!("{CONFIG_MAPS}/{name}");
        let forgotten = api.patch(&path, "merge-patch", &forget).await.expect(200);
        assert!(forgotten["metadata"].get("managedFields").is_none(), "{name}");
    }
    let changed = api.patch(&path, "merge-patch", &json!({"data": {"x": "2"}})).await.expect(200);
    assert!(changed["metadata"].get("managedFields").is_none());
    let set = json!({"metadata": {"managedFields": renamed["metadata"]["managedFields"]}});
    assert_eq!(
        api.patch(&path, "merge-patch", &set).await.expect(200)["metadata"]["managedFields"],
        set["metadata"]["managedFields"]
    );
    let reset = json!({"metadata": {"name": "m", "managedFields": []}, "data": {"x": "2"}});
    let put = api.put(&path, &reset).await.expect(200);
    assert!(put["metadata"].get("managedFields").is_none());
}

#[tokio::test]
async fn one_event_is_owned_in_both_of_its_versions() {
    let api = Api::start().await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "message": "one",
    });
    api.apply("/api/v1/namespaces/default/events/e", "core", &event).await.expect(201);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events/e";
    let other = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "two",
    });
    api.apply(path, "new", &other).await.refused(
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"core\": .message",
    );
}
