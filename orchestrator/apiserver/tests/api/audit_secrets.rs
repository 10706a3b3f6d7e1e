//! What is secret is in no event, whatever the policy says.

use serde_json::{Value, json};
use wherry_apiserver::{Authorization, TokenIssuer};

use crate::audit::Recorded;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const ONE: &str = "/api/v1/namespaces/default/secrets/s";
const EVERYTHING: &str = "rules: [{level: RequestResponse}]";
/// A part of every secret here, and what it is as base64 wherever it begins.
const MARKS: [&str; 4] = ["hunter2", "aHVudGVyM", "h1bnRlcj", "odW50ZXIy"];

async fn start() -> Recorded {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let url = "https://kubernetes.default.svc";
    let issuer = TokenIssuer::new(key.as_bytes(), url, &format!("{url}/openid/v1/jwks")).unwrap();
    Recorded::with(
        EVERYTHING,
        |_| (),
        |config| {
            config.issuer = Some(issuer);
            config.authorization = Authorization::AlwaysAllow;
        },
    )
    .await
}

#[tokio::test]
async fn what_secrets_hold_is_in_no_event_however_it_was_sent() {
    let log = start().await;
    let api = &log.api;
    let applied =
        json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"k\":\"aHVudGVyMg==\"}}"});
    let secret = json!({"metadata": {"name": "s", "annotations": applied}, "data": {"k": "aHVudGVyMg=="},
                        "stringData": {"l": "hunter2"}, "unknown": "hunter2"});
    api.post(SECRETS, &secret).await.expect(201);
    let yaml = "metadata: {name: yaml}\nstringData: {k: hunter2}\n";
    api.raw("POST", SECRETS, "application/yaml", yaml).await.expect(201);
    api.put(ONE, &secret).await.expect(200);
    api.patch(ONE, "merge-patch", &json!({"stringData": {"m": "hunter2"}})).await.expect(200);
    api.patch(ONE, "strategic-merge-patch", &json!({"data": {"m": "aHVudGVyMg=="}})).await.expect(200);
    let steps = json!([{"op": "replace", "path": "/data/m", "value": "aHVudGVyMjI="}]);
    api.patch(ONE, "json-patch", &steps).await.expect(200);
    let config = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "hunter2"}});
    api.apply(&format!("{SECRETS}/a"), "me", &config).await.expect(201);
    // Neither is what is refused.
    api.patch(ONE, "merge-patch", &json!({"data": {"k": "hunter2, not base64"}})).await.expect(400);
    api.post(SECRETS, &json!({"metadata": {"name": "s"}, "stringData": {"k": ["hunter2"]}}))
        .await
        .expect(400);
    let docker = json!({"metadata": {"name": "d"}, "type": "kubernetes.io/dockerconfigjson",
                        "stringData": {".dockerconfigjson": "hunter2"}});
    api.post(SECRETS, &docker).await.expect(422);
    api.get(ONE).await.expect(200);
    api.get(SECRETS).await.expect(200);
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    api.get_as(&format!("{SECRETS}?includeObject=Object"), table).await.expect(200);
    drop(api.watch(&format!("{SECRETS}?watch=1")).await);
    api.delete(ONE).await.expect(200);
    api.delete(SECRETS).await.expect(200);

    let events = log.events("secrets");
    let bodies = |field: &str| events.iter().filter(|event| event.get(field).is_some()).count();
    assert!(bodies("requestObject") >= 10 && bodies("responseObject") >= 10, "{}", log.text());
    let created = events.iter().find(|event| event.get("responseObject").is_some()).unwrap();
    assert_eq!(created["responseObject"]["data"], json!({"k": "REDACTED", "l": "REDACTED"}));
    assert_eq!(created["requestObject"]["stringData"], json!({"l": "REDACTED"}));
    for mark in MARKS {
        assert!(!log.text().contains(mark), "{mark} is in the log");
    }
}

#[tokio::test]
async fn tokens_are_in_no_event() {
    let log = start().await;
    let api = &log.api;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let account = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = api.post(account, &request).await.expect(201)["status"]["token"].as_str().unwrap().to_owned();
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    for token in [token.as_str(), "unknown-hunter2"] {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        api.post(reviews, &review).await.expect(201);
    }
    let shown = |resource: &str, field: &str| -> Vec<Value> {
        log.events(resource)
            .into_iter()
            .filter_map(|mut event| event.get_mut(field).map(Value::take))
            .collect()
    };
    assert_eq!(shown("serviceaccounts", "responseObject").last().unwrap()["status"]["token"], "REDACTED");
    let reviews = shown("tokenreviews", "responseObject");
    assert_eq!(
        (&reviews[0]["spec"]["token"], &reviews[0]["status"]["authenticated"]),
        (&json!("REDACTED"), &json!(true))
    );
    let signature = token.rsplit('.').next().unwrap();
    assert!(!log.text().contains(signature) && !log.text().contains("hunter2"), "{}", log.text());
}
