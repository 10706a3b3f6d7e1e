//! Tokens of ServiceAccounts: asked for, used, and no longer worth anything.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authorization, TokenIssuer};

use crate::harness::{Answer, Api, CONFIG_MAPS, PODS, send};

const ISSUER: &str = "https://kubernetes.default.svc";
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";

fn issuer() -> TokenIssuer {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    TokenIssuer::new(key.as_bytes(), ISSUER, "https://192.0.2.1:6443/openid/v1/jwks").unwrap()
}

/// A server that issues tokens and lets everybody it knows do everything.
async fn start() -> Api {
    Api::with(|config| {
        config.issuer = Some(issuer());
        config.authorization = Authorization::AlwaysAllow;
    })
    .await
}

async fn ask(api: &Api, spec: &Value) -> Answer {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    api.post(TOKEN, &request).await
}

async fn token(api: &Api, spec: &Value) -> String {
    ask(api, spec).await.expect(201)["status"]["token"].as_str().unwrap().to_owned()
}

fn bound_to(kind: &str, object: &Value) -> Value {
    let (name, uid) = (&object["metadata"]["name"], &object["metadata"]["uid"]);
    json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}})
}

/// What the server answers to the bearer of a token.
async fn present(api: &Api, token: &str, path: &str) -> Answer {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    send(&api.server.router(), request.body(Body::empty()).unwrap()).await
}

async fn code(api: &Api, token: &str) -> u16 {
    present(api, token, CONFIG_MAPS).await.code.as_u16()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_request_is_answered_with_a_token_that_says_whose_it_is() {
    let api = start().await;
    let account = api.get(ACCOUNT).await.expect(200);
    let answer = ask(&api, &json!({})).await.expect(201);
    assert_eq!(
        (&answer["metadata"]["name"], &answer["metadata"]["uid"]),
        (&json!("default"), &account["metadata"]["uid"])
    );
    assert_eq!(
        answer["spec"],
        json!({"audiences": [ISSUER], "boundObjectRef": null, "expirationSeconds": 3600})
    );
    assert_eq!(answer["status"]["expirationTimestamp"], "2024-05-06T08:08:09Z");
    let claims = claims(answer["status"]["token"].as_str().unwrap());
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "system:serviceaccount:default:default");
    assert_eq!(claims["aud"], json!([ISSUER]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let uid = &account["metadata"]["uid"];
    assert_eq!(
        claims["kubernetes.io"],
        json!({"namespace": "default", "serviceaccount": {"name": "default", "uid": uid}})
    );
}

#[tokio::test]
async fn the_bearer_of_a_token_is_its_service_account() {
    let api = Api::with(|config| config.issuer = Some(issuer())).await;
    let token = token(&api, &json!({})).await;
    present(&api, &token, CONFIG_MAPS).await.refused(
        403,
        "Forbidden",
        "configmaps is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"configmaps\" in \
         API group \"\" in the namespace \"default\"",
    );
}

#[tokio::test]
async fn a_token_expires_by_the_clock_of_the_server() {
    let api = start().await;
    let token = token(&api, &json!({"expirationSeconds": 600})).await;
    assert_eq!(code(&api, &token).await, 200);
    api.clock.advance(660);
    assert_eq!(code(&api, &token).await, 200, "clocks may differ by a minute");
    api.clock.advance(1);
    assert_eq!(code(&api, &token).await, 401);
}

#[tokio::test]
async fn a_token_of_the_future_is_refused() {
    let api = start().await;
    let token = token(&api, &json!({})).await;
    api.clock.advance(-61);
    assert_eq!(code(&api, &token).await, 401);
}

#[tokio::test]
async fn a_token_dies_with_the_pod_it_is_bound_to() {
    let api = start().await;
    let pod = api.pod("p", Some("n")).await;
    let token = token(&api, &bound_to("Pod", &pod)).await;
    let objects = &claims(&token)["kubernetes.io"];
    assert_eq!(objects["pod"], json!({"name": "p", "uid": pod["metadata"]["uid"]}));
    assert_eq!(objects["node"], json!({"name": "n"}));
    assert_eq!(code(&api, &token).await, 200);
    api.delete_with(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(code(&api, &token).await, 401);
    api.pod("p", None).await;
    assert_eq!(code(&api, &token).await, 401, "another pod of the name is another pod");
}

#[tokio::test]
async fn a_token_dies_with_its_secret_its_node_and_its_service_account() {
    let api = start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = api.post(secrets, &json!({"metadata": {"name": "s"}})).await.expect(201);
    let node = api.post("/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await.expect(201);
    let of_secret = token(&api, &bound_to("Secret", &secret)).await;
    let of_node = token(&api, &bound_to("Node", &node)).await;
    let of_account = token(&api, &json!({})).await;
    let cases = [(of_secret, format!("{secrets}/s")), (of_node, "/api/v1/nodes/n".to_owned())];
    for (token, path) in cases.into_iter().chain([(of_account, ACCOUNT.to_owned())]) {
        assert_eq!(code(&api, &token).await, 200, "{path}");
        api.delete(&path).await.expect(200);
        assert_eq!(code(&api, &token).await, 401, "{path}");
    }
}

#[tokio::test]
async fn a_token_for_others_a_forged_one_and_one_of_another_key_are_refused_alike() {
    let api = start().await;
    let good = token(&api, &json!({})).await;
    let mut forged: Vec<String> = good.split('.').map(str::to_owned).collect();
    let mut said = claims(&good);
    said["sub"] = json!("system:serviceaccount:kube-system:root");
    said["kubernetes.io"]["namespace"] = json!("kube-system");
    forged[1] = URL_SAFE_NO_PAD.encode(said.to_string());
    let other = start().await;
    let bad = [
        token(&api, &json!({"audiences": ["vault"]})).await,
        forged.join("."),
        token(&other, &json!({})).await,
        good[..good.len() - 1].to_owned(),
        "a.b.c".to_owned(),
    ];
    for token in bad {
        present(&api, &token, CONFIG_MAPS).await.refused(401, "Unauthorized", "Unauthorized");
    }
    assert_eq!(code(&api, &good).await, 200);
}

#[tokio::test]
async fn requests_that_cannot_be_met_say_why() {
    let api = start().await;
    let invalid =
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: ";
    ask(&api, &json!({"expirationSeconds": 5})).await.refused(
        422,
        "Invalid",
        &format!("{invalid}5: may not specify a duration less than 10 minutes"),
    );
    ask(&api, &json!({"expirationSeconds": 4_294_967_297_i64})).await.refused(
        422,
        "Invalid",
        &format!("{invalid}4294967297: may not specify a duration larger than 2^32 seconds"),
    );
    let bound =
        |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
    ask(&api, &bound("Pod", "absent")).await.refused(404, "NotFound", "pods \"absent\" not found");
    ask(&api, &bound("ConfigMap", "c")).await.refused(
        400,
        "BadRequest",
        "cannot bind token to object of type /v1, Kind=ConfigMap",
    );
    api.pod("p", None).await;
    let mut stale = bound("Pod", "p");
    stale["boundObjectRef"]["uid"] = json!("u-0");
    ask(&api, &stale).await.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (u-0) does not match the UID \
         in record. The object might have been deleted and then recreated",
    );
    let absent = "/api/v1/namespaces/default/serviceaccounts/absent/token";
    api.post(absent, &json!({})).await.refused(404, "NotFound", "serviceaccounts \"absent\" not found");
}

#[tokio::test]
async fn a_pod_gets_only_tokens_of_its_own_service_account() {
    let api = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({"metadata": {"name": "robot"}})).await.expect(201);
    let pod = api.pod("p", None).await;
    api.post(&format!("{accounts}/robot/token"), &json!({"spec": bound_to("Pod", &pod)})).await.refused(
        400,
        "BadRequest",
        "cannot bind token for serviceaccount \"robot\" to pod running with different serviceaccount name.",
    );
}

#[tokio::test]
async fn the_token_a_pod_gets_by_default_outlives_what_the_node_is_told() {
    let api = start().await;
    let mut spec = bound_to("Pod", &api.pod("p", None).await);
    spec["expirationSeconds"] = json!(3607);
    let answer = ask(&api, &spec).await.expect(201);
    assert_eq!(answer["status"]["expirationTimestamp"], "2024-05-06T08:08:16Z");
    let claims = claims(answer["status"]["token"].as_str().unwrap());
    let at = |claim: &Value| claim.as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(at(&claims["exp"]), 365 * 24 * 3600);
    assert_eq!(at(&claims["kubernetes.io"]["warnafter"]), 3607);
}

#[tokio::test]
async fn service_accounts_may_read_how_their_tokens_are_checked() {
    let api = Api::with(|config| config.issuer = Some(issuer())).await;
    api.default_policy().await;
    let token = token(&api, &json!({})).await;
    let configuration = present(&api, &token, "/.well-known/openid-configuration").await.expect(200);
    assert_eq!(configuration["issuer"], ISSUER);
    assert_eq!(configuration["jwks_uri"], "https://192.0.2.1:6443/openid/v1/jwks");
    let keys = present(&api, &token, "/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(keys.expect(200)["keys"][0]["kid"], header["kid"]);
    let nobody = Request::get("/openid/v1/jwks").body(Body::empty()).unwrap();
    send(&api.server.router(), nobody).await.expect(403);
}

#[tokio::test]
async fn without_an_issuer_there_are_no_tokens() {
    let api = Api::start().await;
    ask(&api, &json!({})).await.expect(404);
    api.get("/openid/v1/jwks").await.expect(404);
    assert_eq!(code(&api, "a.b.c").await, 401);
}
