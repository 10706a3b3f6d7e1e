//! Tokens that Secrets hold: what they are worth, what their use leaves behind, and what is said of it.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authorization, TokenIssuer};

use crate::harness::{Answer, Api, CONFIG_MAPS, send};

const ISSUER: &str = "https://kubernetes.default.svc";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

/// A server, and the token of `default` in the Secret `s`, which a controller would have put there.
async fn start() -> (Api, String) {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let issuer = TokenIssuer::new(key.as_bytes(), ISSUER, "").unwrap();
    let own = issuer.clone();
    let api = Api::with(|config| {
        config.issuer = Some(own);
        config.authorization = Authorization::AlwaysAllow;
    })
    .await;
    let account = api.get(ACCOUNT).await.expect(200);
    let uid = account["metadata"]["uid"].as_str().unwrap();
    let token = issuer.issue_legacy("default", "s", ("default", uid)).unwrap();
    api.post(SECRETS, &secret(&token)).await.expect(201);
    (api, token)
}

fn secret(token: &str) -> Value {
    json!({
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token", "data": {"token": STANDARD.encode(token)},
    })
}

async fn present(api: &Api, token: &str) -> Answer {
    let request = Request::get(CONFIG_MAPS).header("authorization", format!("Bearer {token}"));
    send(&api.server.router(), request.body(Body::empty()).unwrap()).await
}

/// What a review says of a token that is not authenticated.
async fn error(api: &Api, token: &str) -> String {
    let mut status = api.post(REVIEWS, &json!({"spec": {"token": token}})).await.expect(201)["status"].take();
    assert_eq!(status["authenticated"], Value::Null);
    status["error"].take().as_str().unwrap().to_owned()
}

async fn labels(api: &Api) -> Value {
    api.get(&format!("{SECRETS}/s")).await.expect(200)["metadata"]["labels"].take()
}

#[tokio::test]
async fn the_bearer_is_the_service_account_and_the_secret_tells_the_day() {
    let (api, token) = start().await;
    let answer = api.post(REVIEWS, &json!({"spec": {"token": token}})).await.expect(201);
    let user = &answer["status"]["user"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!((&user["groups"], &user["extra"]), (&json!(groups), &Value::Null));
    assert_eq!(labels(&api).await, json!({LAST_USED: "2024-05-06"}));
    let version = |secret: Value| secret["metadata"]["resourceVersion"].clone();
    let before = version(api.get(&format!("{SECRETS}/s")).await.expect(200));
    present(&api, &token).await.expect(200);
    assert_eq!(version(api.get(&format!("{SECRETS}/s")).await.expect(200)), before, "once a day");
    api.clock.advance(24 * 3600);
    present(&api, &token).await.expect(200);
    assert_eq!(labels(&api).await, json!({LAST_USED: "2024-05-07"}));
    let metrics = api.get("/metrics").await.text;
    assert!(metrics.contains("serviceaccount_legacy_manual_token_uses_total 3"), "{metrics}");
}

#[tokio::test]
async fn a_token_made_for_its_account_comes_with_a_warning() {
    let (api, token) = start().await;
    assert!(present(&api, &token).await.headers.get("warning").is_none());
    let listed = json!({"secrets": [{"name": "s"}]});
    api.patch(ACCOUNT, "merge-patch", &listed).await.expect(200);
    let answer = present(&api, &token).await;
    let warning = answer.headers["warning"].to_str().unwrap();
    assert_eq!(
        warning,
        "299 - \"Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated \
         secret-based tokens.\""
    );
}

#[tokio::test]
async fn a_token_that_was_marked_invalid_is_refused_and_its_use_noted() {
    let (api, token) = start().await;
    let label = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2024-01-01"}}});
    api.patch(&format!("{SECRETS}/s"), "merge-patch", &label).await.expect(200);
    present(&api, &token).await.refused(401, "Unauthorized", "Unauthorized");
    assert_eq!(labels(&api).await[LAST_USED], "2024-05-06");
    assert_eq!(
        error(&api, &token).await,
        "the token in secret default/s for service account default/default has been marked invalid. Use tokens from the \
         TokenRequest API or manually created secret-based tokens, or remove the \
         'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token"
    );
}

#[tokio::test]
async fn a_token_counts_only_while_its_secret_holds_it_and_its_account_is_the_same() {
    let (api, token) = start().await;
    let other = json!({"data": {"token": STANDARD.encode("other")}});
    api.patch(&format!("{SECRETS}/s"), "merge-patch", &other).await.expect(200);
    assert_eq!(error(&api, &token).await, "token does not match server's copy");
    api.delete(&format!("{SECRETS}/s")).await.expect(200);
    assert_eq!(error(&api, &token).await, "service account token has been invalidated");
    present(&api, &token).await.expect(401);
    api.post(SECRETS, &secret(&token)).await.expect(201);
    present(&api, &token).await.expect(200);
    api.delete(ACCOUNT).await.expect(200);
    assert_eq!(error(&api, &token).await, "service account token has been invalidated");
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({"metadata": {"name": "default"}})).await.expect(201);
    let told = error(&api, &token).await;
    assert!(told.starts_with("service account UID (") && told.contains(") does not match claim ("), "{told}");
}

#[tokio::test]
async fn a_token_of_a_secret_is_for_no_other_audience() {
    let (api, token) = start().await;
    let review = json!({"spec": {"token": token, "audiences": ["vault"]}});
    let status = api.post(REVIEWS, &review).await.expect(201)["status"].take();
    assert_eq!(status["authenticated"], Value::Null);
    let review = json!({"spec": {"token": token, "audiences": ["vault", ISSUER]}});
    let status = api.post(REVIEWS, &review).await.expect(201)["status"].take();
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!([ISSUER])));
}
