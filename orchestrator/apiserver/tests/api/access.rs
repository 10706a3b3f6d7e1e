//! Who may ask.

use axum::body::Body;
use http::Request;
use serde_json::json;
use wherry_apiserver::{Authorization, Tokens, UserInfo};

use crate::harness::{Api, CONFIG_MAPS, send};

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nobody_in_particular_may_ask_about_health_and_version_only() {
    let api = Api::start().await;
    api.default_policy().await;
    let router = api.server.router();
    send(&router, get(CONFIG_MAPS)).await.refused(
        403,
        "Forbidden",
        "configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the \
         namespace \"default\"",
    );
    let text = "forbidden: User \"system:anonymous\" cannot get path \"/api\"";
    send(&router, get("/api")).await.refused(403, "Forbidden", text);
    send(&router, get("/nope")).await.expect(403);
    send(&router, get("/livez/ping")).await.expect(403);
    for path in ["/livez", "/readyz", "/healthz", "/version"] {
        assert_eq!(send(&router, get(path)).await.code, 200, "{path}");
    }
}

#[tokio::test]
async fn who_is_known_may_learn_what_is_served() {
    let api = Api::start().await;
    api.default_policy().await;
    let router = api.server.router_as(UserInfo::new("eve", &[]));
    for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version"] {
        assert_eq!(send(&router, get(path)).await.code, 200, "{path}");
    }
    assert_eq!(send(&router, get("/openapi/v2/x")).await.code, 404);
    for path in ["/", "/metrics", "/logs", "/nope", "/apis/nope/v1/things"] {
        assert_eq!(send(&router, get(path)).await.code, 403, "{path}");
    }
}

#[tokio::test]
async fn one_name_in_a_selector_is_a_name_to_roles() {
    let api = Api::start().await;
    let router = api.server.router_as(UserInfo::new("eve", &[]));
    let status = send(&router, get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Donly"))).await;
    assert_eq!(status.expect(403)["details"], json!({"kind": "configmaps", "name": "only"}));
}

#[tokio::test]
async fn only_masters_may_do_anything() {
    let api = Api::start().await;
    let user = UserInfo::new("eve", &["dev"]);
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
    let router = api.server.router_as(UserInfo::new("eve", &[]));
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

#[tokio::test]
async fn a_bearer_token_names_its_user_and_an_unknown_one_is_refused() {
    let api = Api::with(|config| {
        config.tokens = Tokens::parse(b"s3cret,alice,u1,\"system:masters\"\nother,bob,u2\n").unwrap();
    })
    .await;
    let router = api.server.router();
    let code = async |authorization: Option<&str>| {
        let mut request = Request::get("/api/v1/namespaces");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        send(&router, request.body(Body::empty()).unwrap()).await.code.as_u16()
    };
    assert_eq!(code(Some("Bearer s3cret")).await, 200);
    assert_eq!(code(Some("Bearer other")).await, 403);
    assert_eq!(code(Some("Bearer s3cre")).await, 401);
    // What is no bearer token says nothing about who asks.
    assert_eq!(code(Some("Basic s3cret")).await, 403);
    assert_eq!(code(None).await, 403);
}

#[tokio::test]
async fn with_always_allow_everybody_known_may_do_everything() {
    let api = Api::with(|config| {
        config.tokens = Tokens::parse(b"other,bob,u2\n").unwrap();
        config.authorization = Authorization::AlwaysAllow;
    })
    .await;
    let router = api.server.router();
    let request = Request::get("/api/v1/namespaces");
    let with = request.header("authorization", "Bearer other").body(Body::empty()).unwrap();
    assert_eq!(send(&router, with).await.code, 200);
    send(&router, get("/api/v1/namespaces")).await.refused(401, "Unauthorized", "Unauthorized");
    send(&router, get("/livez")).await.expect(401);
}
