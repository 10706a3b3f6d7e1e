//! What Pods get of their ServiceAccount.

use serde_json::{Value, json};

use crate::harness::{Api, PODS};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn mounts(container: &Value) -> Vec<(&str, bool)> {
    let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
    mounts.iter().map(|m| (m["mountPath"].as_str().unwrap(), m["readOnly"] == true)).collect()
}

#[tokio::test]
async fn every_container_mounts_the_token_of_the_pod() {
    let api = Api::start().await;
    let init = json!({"initContainers": [{"name": "i", "image": "i"}]});
    let made = api.post(PODS, &pod("p", &init)).await.expect(201);
    let volume = &made["spec"]["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert_eq!(name.strip_prefix("kube-api-access-").map(str::len), Some(5), "{name}");
    assert_eq!(
        volume["projected"],
        json!({"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]})
    );
    for containers in ["initContainers", "containers"] {
        let container = &made["spec"][containers][0];
        assert_eq!(mounts(container), [(MOUNT_PATH, true)], "{containers}");
        assert_eq!(container["volumeMounts"][0]["name"], name);
    }
}

/// [sig-auth] ServiceAccounts should allow opting out of API token automount: what the Pod says counts, then what its
/// ServiceAccount says; the token is mounted unless either opts out.
#[tokio::test]
async fn service_account_tokens_auto_mount_optionally() {
    let api = Api::start().await;
    for account in [None, Some(true), Some(false)] {
        let name = format!("account-{account:?}").to_lowercase().replace(['(', ')'], "");
        let object = json!({"metadata": {"name": name}, "automountServiceAccountToken": account});
        api.post(ACCOUNTS, &object).await.expect(201);
        for wish in [None, Some(true), Some(false)] {
            let spec = json!({"serviceAccountName": name, "automountServiceAccountToken": wish});
            let pod_name = format!("{name}-{wish:?}").to_lowercase().replace(['(', ')'], "");
            let made = api.post(PODS, &pod(&pod_name, &spec)).await.expect(201);
            let mounted = !mounts(&made["spec"]["containers"][0]).is_empty();
            assert_eq!(mounted, wish.or(account).unwrap_or(true), "{pod_name}");
            assert_eq!(made["spec"]["volumes"].is_array(), mounted, "{pod_name}");
        }
    }
}

#[tokio::test]
async fn what_is_mounted_at_the_place_of_the_token_stays() {
    let api = Api::start().await;
    let spec = json!({
        "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": MOUNT_PATH}]}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    });
    let made = api.post(PODS, &pod("p", &spec)).await.expect(201);
    assert_eq!(made["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    assert_eq!(mounts(&made["spec"]["containers"][0]), [(MOUNT_PATH, false)]);
}

#[tokio::test]
async fn pull_secrets_come_from_the_service_account_unless_the_pod_names_its_own() {
    let api = Api::start().await;
    let account = json!({"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "pull"}]});
    api.post(ACCOUNTS, &account).await.expect(201);
    let made = api.post(PODS, &pod("a", &json!({"serviceAccountName": "puller"}))).await.expect(201);
    assert_eq!(made["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    let own = json!({"serviceAccountName": "puller", "imagePullSecrets": [{"name": "own"}]});
    let made = api.post(PODS, &pod("b", &own)).await.expect(201);
    assert_eq!(made["spec"]["imagePullSecrets"], json!([{"name": "own"}]));
}

#[tokio::test]
async fn a_service_account_must_exist_and_a_mirror_pod_may_have_none() {
    let api = Api::start().await;
    api.post(PODS, &pod("p", &json!({"serviceAccountName": "absent"}))).await.refused(
        403,
        "Forbidden",
        "pods \"p\" is forbidden: error looking up service account default/absent: serviceaccount \"absent\" not found",
    );
    let mut mirror = pod("m", &json!({"nodeName": "n"}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let made = api.post(PODS, &mirror).await.expect(201);
    assert_eq!((&made["spec"]["serviceAccountName"], &made["spec"]["volumes"]), (&Value::Null, &Value::Null));
    mirror["spec"]["serviceAccountName"] = json!("default");
    api.post(PODS, &mirror).await.refused(
        403,
        "Forbidden",
        "pods \"m\" is forbidden: a mirror pod may not reference service accounts",
    );
}

#[tokio::test]
async fn a_pod_waits_for_the_service_account_of_a_new_namespace() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "young"}})).await.expect(201);
    let (object, account) = (pod("p", &json!({})), json!({"metadata": {"name": "default"}}));
    let (made, _) = tokio::join!(
        api.post("/api/v1/namespaces/young/pods", &object),
        api.post("/api/v1/namespaces/young/serviceaccounts", &account),
    );
    assert_eq!(made.expect(201)["spec"]["serviceAccountName"], "default");
}

#[tokio::test]
async fn a_service_account_can_limit_its_pods_to_its_secrets() {
    let api = Api::start().await;
    let account = json!({
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "own"}],
    });
    api.post(ACCOUNTS, &account).await.expect(201);
    let mounting = |secret: &str| {
        let volumes = json!([{"name": "v", "secret": {"secretName": secret}}]);
        pod(secret, &json!({"serviceAccountName": "strict", "volumes": volumes}))
    };
    api.post(PODS, &mounting("own")).await.expect(201);
    api.post(PODS, &mounting("other")).await.refused(
        403,
        "Forbidden",
        "pods \"other\" is forbidden: volume with secret.secretName=\"other\" is not allowed because service account \
         strict does not reference that secret",
    );
}
