//! What conformance says of ServiceAccounts and their tokens, as far as it takes no running Pod.

use serde_json::{Value, json};
use wherry_apiserver::TokenIssuer;

use crate::harness::{Api, PODS};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

async fn start() -> Api {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let issuer = TokenIssuer::new(key.as_bytes(), "https://kubernetes.default.svc", "").unwrap();
    Api::with(|config| config.issuer = Some(issuer)).await
}

async fn account(api: &Api, name: &str, automount: Option<bool>) -> Value {
    let mut body = json!({"metadata": {"name": name}});
    if let Some(automount) = automount {
        body["automountServiceAccountToken"] = json!(automount);
    }
    api.post(ACCOUNTS, &body).await.expect(201)
}

#[tokio::test]
async fn serviceaccount_create_and_review_token() {
    let api = start().await;
    let robot = account(&api, "robot", None).await;
    let answer = api.post(&format!("{ACCOUNTS}/robot/token"), &json!({})).await.expect(201);
    let token = answer["status"]["token"].as_str().unwrap();
    assert!(!token.is_empty());
    let review = api.post(REVIEWS, &json!({"spec": {"token": token}})).await.expect(201);
    let status = &review["status"];
    assert_eq!((&status["authenticated"], &status["error"]), (&json!(true), &Value::Null));
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:robot");
    assert_eq!(status["user"]["uid"], robot["metadata"]["uid"]);
}

#[tokio::test]
async fn serviceaccount_update_a_serviceaccount() {
    let api = start().await;
    let mut robot = account(&api, "robot", None).await;
    assert_eq!(robot["automountServiceAccountToken"], Value::Null);
    robot["automountServiceAccountToken"] = json!(true);
    let path = format!("{ACCOUNTS}/robot");
    let updated = api.put(&path, &robot).await.expect(200);
    assert_eq!(updated["automountServiceAccountToken"], true);
    assert_eq!(api.get(&path).await.expect(200)["automountServiceAccountToken"], true);
}

#[tokio::test]
async fn service_account_tokens_auto_mount_optionally() {
    let api = start().await;
    let choices = [None, Some(true), Some(false)];
    for (at, of_account) in choices.into_iter().enumerate() {
        account(&api, &format!("robot-{at}"), of_account).await;
        for (place, of_pod) in choices.into_iter().enumerate() {
            let mut pod = json!({
                "metadata": {"name": format!("p-{at}-{place}")},
                "spec": {
                    "serviceAccountName": format!("robot-{at}"), "containers": [{"name": "c", "image": "i"}],
                },
            });
            if let Some(automount) = of_pod {
                pod["spec"]["automountServiceAccountToken"] = json!(automount);
            }
            let made = api.post(PODS, &pod).await.expect(201);
            let mounts =
                made["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
            let mounted = mounts.iter().any(|mount| mount["mountPath"] == MOUNT);
            assert_eq!(mounted, of_pod.or(of_account) != Some(false), "{of_account:?} {of_pod:?}");
        }
    }
}
