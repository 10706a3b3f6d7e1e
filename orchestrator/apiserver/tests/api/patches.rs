//! Patches of the three kinds.

use serde_json::json;

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, deployment};

#[tokio::test]
async fn a_merge_patch_sets_and_removes() {
    let api = Api::start().await;
    let body = json!({"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}});
    api.post(CONFIG_MAPS, &body).await.expect(201);
    let patch = json!({"data": {"x": null, "z": "3"}});
    let patched = api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["data"], json!({"y": "2", "z": "3"}));
}

#[tokio::test]
async fn a_json_patch_works_through_its_operations_or_not_at_all() {
    let api = Api::start().await;
    let body = json!({"metadata": {"name": "a"}, "data": {"x": "1"}});
    let made = api.post(CONFIG_MAPS, &body).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let failing = json!([
        {"op": "replace", "path": "/data/x", "value": "2"},
        {"op": "test", "path": "/data/x", "value": "nope"},
    ]);
    api.patch(&path, "json-patch", &failing).await.refused(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    assert_eq!(api.get(&path).await.expect(200), made);
    let working = json!([{"op": "replace", "path": "/data/x", "value": "2"}]);
    assert_eq!(api.patch(&path, "json-patch", &working).await.expect(200)["data"]["x"], "2");
}

#[tokio::test]
async fn a_strategic_patch_merges_containers_by_name() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "new"}, {"name": "side", "image": "s"},
    ]}}}});
    let patched = api.patch(&format!("{DEPLOYMENTS}/d"), "strategic-merge-patch", &patch).await.expect(200);
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    let of = |name: &str| containers.iter().find(|c| c["name"] == name).unwrap()["image"].clone();
    assert_eq!((of("c"), of("side")), (json!("new"), json!("s")));
}

#[tokio::test]
async fn a_patch_with_an_older_version_conflicts() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let patch = json!({"metadata": {"resourceVersion": "1"}, "data": {"k": "v"}});
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(api.patch(&path, "merge-patch", &patch).await.code, 409);
    assert!(api.get(&path).await.expect(200)["data"].is_null());
}

#[tokio::test]
async fn a_patch_cannot_rename() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let patch = json!({"metadata": {"name": "other"}});
    api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.refused(
        400,
        "BadRequest",
        "the name of the object (other) does not match the name on the URL (a)",
    );
}

#[tokio::test]
async fn a_patch_of_no_known_type_is_unsupported() {
    let api = Api::start().await;
    let made = api.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    for media in ["application/json", "application/apply-patch+cbor", "application/apply-patch+json"] {
        let answer = api.raw("PATCH", &path, media, "{}").await;
        answer.refused(415, "UnsupportedMediaType", "415: Unsupported Media Type");
    }
    assert_eq!(api.get(&path).await.expect(200), made);
}

#[tokio::test]
async fn a_revision_written_with_spaces_is_not_changed_without_them() {
    let api = Api::start().await;
    let all = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let path = &format!("{all}/a");
    let body = r#"{"metadata":{"name":"a"},"revision":1,"data":{"x": 1}}"#;
    let made = api.raw("POST", all, "application/json", body).await.expect(201);
    assert_eq!(api.get(path).await.expect(200), made);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let message =
        r#"ControllerRevision.apps "a" is invalid: data: Invalid value: {"x":1}: field is immutable"#;
    let refused = |answer: crate::harness::Answer| answer.refused(422, "Invalid", message);
    refused(api.patch(path, "merge-patch", &labels).await);
    refused(api.put(path, &made).await);
    api.raw("PUT", path, "application/json", body.replace("\"a\"}", "\"a\",\"labels\":{\"c\":\"d\"}}"))
        .await
        .expect(200);
    api.delete_with(path, &json!({"propagationPolicy": "Foreground"})).await.expect(200);
    let patch = json!({"metadata": {"finalizers": null}});
    refused(api.patch(path, "merge-patch", &patch).await);

    let tight = body.replace(": 1}", ":1}").replace("\"a\"", "\"b\"");
    api.raw("POST", all, "application/json", tight).await.expect(201);
    api.patch(&format!("{all}/b"), "merge-patch", &labels).await.expect(200);
}
