//! Namespaces: content needs one, and ends with it.

use serde_json::{Value, json};

use crate::harness::Api;

#[tokio::test]
async fn a_namespace_is_active_labelled_and_finalized_by_the_cluster() {
    let api = Api::start().await;
    let made = api.get("/api/v1/namespaces/default").await.expect(200);
    assert_eq!(made["status"]["phase"], "Active");
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "default");
}

#[tokio::test]
async fn nothing_is_created_where_there_is_no_namespace() {
    let api = Api::start().await;
    let before = api.store.revision();
    let body = json!({"metadata": {"name": "a"}});
    api.post("/api/v1/namespaces/absent/configmaps", &body).await.refused(
        404,
        "NotFound",
        "namespaces \"absent\" not found",
    );
    assert_eq!(api.store.revision(), before);
}

#[tokio::test]
async fn a_namespace_being_deleted_takes_no_content_and_goes_when_finalized() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "t"}})).await.expect(201);
    let marked = api.delete("/api/v1/namespaces/t").await.expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let status = api.post("/api/v1/namespaces/t/configmaps", &json!({"metadata": {"name": "b"}})).await.refused(
        403,
        "Forbidden",
        "configmaps \"b\" is forbidden: unable to create new content in namespace t because it is being terminated",
    );
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut empty = marked.clone();
    empty["spec"] = json!({"finalizers": []});
    api.put("/api/v1/namespaces/t/finalize", &empty).await.expect(200);
    assert_eq!(api.get("/api/v1/namespaces/t").await.code, 404);
}

#[tokio::test]
async fn an_update_cannot_remove_the_clusters_finalizer() {
    let api = Api::start().await;
    let mut namespace = api.get("/api/v1/namespaces/default").await.expect(200);
    namespace["spec"] = json!({"finalizers": []});
    let updated = api.put("/api/v1/namespaces/default", &namespace).await.expect(200);
    assert_eq!(updated["spec"]["finalizers"], json!(["kubernetes"]));
}

#[tokio::test]
async fn the_default_namespace_cannot_be_deleted() {
    let api = Api::start().await;
    api.delete("/api/v1/namespaces/default").await.refused(
        403,
        "Forbidden",
        "namespaces \"default\" is forbidden: this namespace may not be deleted",
    );
    assert_eq!(api.get("/api/v1/namespaces/default").await.expect(200)["status"]["phase"], "Active");
}

const NAMESPACES: &str = "/api/v1/namespaces";

#[tokio::test]
async fn namespace_patching() {
    let api = Api::start().await;
    api.post(NAMESPACES, &json!({"metadata": {"name": "n"}})).await.expect(201);
    let patch = json!({"metadata": {"labels": {"testLabel": "testValue"}}});
    api.patch(&format!("{NAMESPACES}/n"), "strategic-merge-patch", &patch).await.expect(200);
    let read = api.get(&format!("{NAMESPACES}/n")).await.expect(200);
    assert_eq!(read["metadata"]["labels"]["testLabel"], "testValue");
}

#[tokio::test]
async fn namespace_apply_update_to_a_namespace() {
    let api = Api::start().await;
    let mut namespace = api.post(NAMESPACES, &json!({"metadata": {"name": "n"}})).await.expect(201);
    namespace["metadata"]["labels"]["n"] = json!("updated");
    api.put(&format!("{NAMESPACES}/n"), &namespace).await.expect(200);
    let read = api.get(&format!("{NAMESPACES}/n")).await.expect(200);
    assert_eq!(read["metadata"]["labels"]["n"], "updated");
}

#[tokio::test]
async fn namespace_apply_finalizer_to_a_namespace() {
    let api = Api::start().await;
    let mut namespace = api.post(NAMESPACES, &json!({"metadata": {"name": "n"}})).await.expect(201);
    let finalizers = |namespace: &Value| namespace["spec"]["finalizers"].as_array().unwrap().clone();
    namespace["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fakeFinalizer"]);
    let path = format!("{NAMESPACES}/n/finalize");
    let mut updated = api.put(&path, &namespace).await.expect(200);
    assert!(finalizers(&updated).contains(&json!("e2e.example.com/fakeFinalizer")));
    updated["spec"]["finalizers"] = json!(["kubernetes"]);
    api.put(&path, &updated).await.expect(200);
    let read = api.get(&format!("{NAMESPACES}/n")).await.expect(200);
    assert_eq!(finalizers(&read), [json!("kubernetes")]);
}
