//! Who may ask.

use axum::body::Body;
use http::Request;
use serde_json::json;
use wherry_apiserver::UserInfo;

use crate::harness::{Api, CONFIG_MAPS, send};

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nobody_is_refused_except_about_health_and_version() {
    let api = Api::start().await;
    let router = api.server.router();
    send(&router, get(CONFIG_MAPS)).await.refused(401, "Unauthorized", "Unauthorized");
    send(&router, get("/nope")).await.refused(401, "Unauthorized", "Unauthorized");
    assert_eq!(send(&router, get("/livez")).await.code, 200);
    assert_eq!(send(&router, get("/version")).await.code, 200);
}

#[tokio::test]
async fn only_masters_may_do_anything() {
    let api = Api::start().await;
    let user = UserInfo { name: "eve".to_owned(), groups: vec!["dev".to_owned()] };
    let router = api.server.router_as(user);
    let status = send(&router, get(CONFIG_MAPS)).await.refused(
        403,
        "Forbidden",
        "configmaps is forbidden: User \"eve\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\"",
    );
    assert_eq!(status["details"], json!({"kind": "configmaps"}));
    send(&router, get("/apis/apps/v1/namespaces/default/deployments/d/scale")).await.refused(
        403,
        "Forbidden",
        "deployments.apps \"d\" is forbidden: User \"eve\" cannot get resource \"deployments/scale\" in API group \
         \"apps\" in the namespace \"default\"",
    );
    send(&router, get("/api/v1/nodes")).await.refused(
        403,
        "Forbidden",
        "nodes is forbidden: User \"eve\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
    );
    send(&router, get("/apis")).await.refused(
        403,
        "Forbidden",
        "forbidden: User \"eve\" cannot get path \"/apis\"",
    );
}

#[tokio::test]
async fn a_refused_write_changes_nothing() {
    let api = Api::start().await;
    let before = api.store.revision();
    let router = api.server.router_as(UserInfo { name: "eve".to_owned(), groups: Vec::new() });
    let request = Request::post(CONFIG_MAPS).body(Body::from(r#"{"metadata":{"name":"a"}}"#)).unwrap();
    assert_eq!(send(&router, request).await.code, 403);
    assert_eq!(api.store.revision(), before);
}

#[tokio::test]
async fn the_user_of_a_request_comes_from_its_extension() {
    let api = Api::start().await;
    let router = api.server.router();
    let mut request = get(CONFIG_MAPS);
    request.extensions_mut().insert(UserInfo::master("admin"));
    assert_eq!(send(&router, request).await.code, 200);
}
