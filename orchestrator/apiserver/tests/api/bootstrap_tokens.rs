//! Bootstrap tokens: who has one, and until when.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authentication, AuthenticationOptions};

use crate::harness::{Answer, Api, send};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOKEN: &str = "abc123.0123456789abcdef";

async fn start(change: impl FnOnce(&mut Value)) -> Api {
    let options = AuthenticationOptions { bootstrap_tokens: true, ..AuthenticationOptions::default() };
    let authentication = Authentication::open(options).unwrap();
    let api = Api::with(|config| config.authentication = authentication).await;
    api.default_policy().await;
    api.namespace("kube-system").await;
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bootstrap-token-abc123"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abc123",
            "token-secret": "0123456789abcdef",
            "expiration": "2024-05-06T08:00:00Z",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:workers,system:bootstrappers:edge"
        }
    });
    change(&mut secret);
    api.post(SECRETS, &secret).await.expect(201);
    api
}

/// What the server answers whoever has a token about who that is.
async fn ask(api: &Api, token: &str) -> Answer {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = Request::post(REVIEWS)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    send(&api.server.router(), request.body(Body::from(review.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_bootstrap_token_is_a_user_of_its_own_in_the_groups_of_its_secret() {
    let api = start(|_| ()).await;
    let user = ask(&api, TOKEN).await.expect(201)["status"]["userInfo"].take();
    assert_eq!(user["username"], "system:bootstrap:abc123");
    let groups = [
        "system:bootstrappers",
        "system:bootstrappers:workers",
        "system:bootstrappers:edge",
        "system:authenticated",
    ];
    assert_eq!(user["groups"], json!(groups));
}

#[tokio::test]
async fn a_bootstrap_token_is_worthless_with_another_secret_once_expired_and_once_deleted() {
    let api = start(|_| ()).await;
    ask(&api, "abc123.0123456789abcdeg").await.expect(401);
    ask(&api, "abc124.0123456789abcdef").await.expect(401);
    ask(&api, TOKEN).await.expect(201);
    api.clock.advance(3600);
    ask(&api, TOKEN).await.expect(401);
    let api = start(|secret| secret["stringData"]["expiration"] = json!("")).await;
    ask(&api, TOKEN).await.expect(201);
    api.delete(&format!("{SECRETS}/bootstrap-token-abc123")).await.expect(200);
    ask(&api, TOKEN).await.expect(401);
}

#[tokio::test]
async fn a_secret_that_is_not_meant_for_authentication_or_reaches_for_other_groups_names_nobody() {
    for (path, value) in [
        ("/type", "Opaque"),
        ("/stringData/usage-bootstrap-authentication", "false"),
        ("/stringData/auth-extra-groups", "system:masters"),
        ("/stringData/expiration", "tomorrow"),
        ("/stringData/token-id", "abc124"),
    ] {
        let api = start(|secret| *secret.pointer_mut(path).unwrap() = json!(value)).await;
        ask(&api, TOKEN).await.expect(401);
    }
}

#[tokio::test]
async fn bootstrap_tokens_count_only_where_they_are_enabled() {
    let enabled = start(|_| ()).await;
    ask(&enabled, TOKEN).await.expect(201);
    let api = Api::start().await;
    api.namespace("kube-system").await;
    let secret = enabled.get(&format!("{SECRETS}/bootstrap-token-abc123")).await.expect(200);
    let copy = json!({"metadata": {"name": "bootstrap-token-abc123"}, "type": secret["type"], "data": secret["data"]});
    api.post(SECRETS, &copy).await.expect(201);
    ask(&api, TOKEN).await.expect(401);
}
