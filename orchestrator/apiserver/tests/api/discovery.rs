//! What the server tells of itself.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::harness::Api;

#[tokio::test]
async fn groups_versions_and_resources_are_told_the_older_way() {
    let api = Api::start().await;
    assert_eq!(api.get("/api").await.expect(200)["versions"], json!(["v1"]));
    let groups = api.get("/apis").await.expect(200);
    let named: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(named.contains(&"apps") && named.contains(&"events.k8s.io"), "{named:?}");
    let apps = api.get("/apis/apps/v1").await.expect(200);
    let resources: Vec<&str> =
        apps["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(resources.is_sorted() && resources.len() > 10, "{resources:?}");
    let scale = resources.iter().position(|name| *name == "deployments/scale").unwrap();
    assert_eq!(apps["resources"][scale]["group"], "autoscaling");
    assert_eq!(api.get("/apis/apps").await.expect(200)["preferredVersion"]["groupVersion"], "apps/v1");
}

#[tokio::test]
async fn everything_is_told_in_one_document_that_is_not_sent_twice() {
    let api = Api::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let answer = api.get_as("/apis", accept).await;
    assert_eq!(
        answer.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let tag = answer.headers["etag"].clone();
    let document = answer.expect(200);
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    let apps =
        document["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap();
    let resources = apps["versions"][0]["resources"].as_array().unwrap();
    let scalable = resources.iter().find(|r| r["resource"] == "statefulsets").unwrap();
    assert_eq!(scalable["subresources"][0]["subresource"], "scale");
    let again = Request::get("/apis").header("accept", accept).header("if-none-match", tag);
    assert_eq!(api.send(again.body(Body::empty()).unwrap()).await.code, 304);
}

#[tokio::test]
async fn the_version_is_one_that_clients_understand() {
    let api = Api::start().await;
    let version = api.get("/version").await.expect(200);
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
}

#[tokio::test]
async fn openapi_documents_are_indexed_tagged_and_compressed() {
    let api = Api::start().await;
    let index = api.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let plain = api.get(url).await;
    assert!(plain.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = plain.headers["etag"].clone();
    assert!(plain.expect(200)["components"]["schemas"]["io.k8s.api.core.v1.Pod"].is_object());
    let gzip = Request::get(url).header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    assert_eq!(api.send(gzip).await.headers["content-encoding"], "gzip");
    let again = Request::get(url).header("if-none-match", tag).body(Body::empty()).unwrap();
    assert_eq!(api.send(again).await.code, 304);
    assert_eq!(api.get("/openapi/v2").await.code, 404);
}

#[rstest::rstest]
#[case("/livez")]
#[case("/readyz")]
#[case("/healthz")]
#[tokio::test]
async fn health_is_told_in_a_word_or_in_full(#[case] path: &str) {
    let api = Api::start().await;
    assert_eq!(api.get(path).await.text, "ok");
    let full = api.get(&format!("{path}?verbose")).await.text;
    assert!(full.ends_with(&format!("{} check passed\n", &path[1..])), "{full}");
}

#[rstest::rstest]
#[case("GET", "/nope", 404)]
#[case("GET", "/api/v2", 404)]
#[case("GET", "/apis/apps/v1/nopes", 404)]
#[case("GET", "/api//v1", 404)]
#[case("GET", "/api/v1/namespaces/default/nodes", 404)]
#[case("GET", "/api/v1/pods/p", 404)]
#[case("GET", "/api/v1/namespaces/default/pods/p/nope", 404)]
#[case("GET", "/api/v1/namespaces/default/pods/a%2Fb", 404)]
#[case("PUT", "/api/v1/namespaces/default/pods", 405)]
#[case("POST", "/api/v1/namespaces/default/pods/p", 405)]
#[case("POST", "/api/v1/pods", 405)]
#[case("DELETE", "/api/v1/namespaces", 405)]
#[case("POST", "/version", 405)]
#[case("GET", "/api/v1/namespaces/default/bindings", 405)]
#[tokio::test]
async fn paths_that_lead_nowhere_are_refused(#[case] method: &str, #[case] path: &str, #[case] code: u16) {
    let api = Api::start().await;
    assert_eq!(api.raw(method, path, "application/json", "{}").await.code.as_u16(), code);
}
