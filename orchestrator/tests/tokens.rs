//! Tokens in Secrets, of ServiceAccounts and of machines that join, with the controllers that look after them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wherry_orchestrator::ControlPlane;

/// Long enough for a slow machine; a test that passes does not wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A control plane with its controllers.
struct Cluster {
    plane: ControlPlane,
    client: Client,
    directory: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = support::config(directory.path()).await;
        let plane = Box::pin(ControlPlane::start(config)).await.unwrap();
        Self { client: plane.client("test", "test"), plane, directory }
    }

    async fn namespace(&self, name: &str) {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create<K>(&self, namespace: &str, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>(namespace).create(&PostParams::default(), &object).await.unwrap()
    }

    /// Waits until an object is as wanted.
    async fn until<K>(&self, namespace: &str, name: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let wanted = |object: Option<&K>| object.is_some_and(&wanted);
        wait(await_condition(self.api(namespace), name, wanted)).await.unwrap()
    }

    /// Waits until a Secret is gone.
    async fn gone(&self, secrets: Api<Secret>, secret: &Secret) {
        let uid = secret.uid().unwrap();
        wait(await_condition(secrets, &secret.name_any(), is_deleted(&uid))).await;
    }

    /// Who the bearer of a token is.
    async fn who(&self, token: &str) -> Result<String, u16> {
        let review = bearer(self.directory.path(), token).await;
        let api = Api::<SelfSubjectReview>::all(review);
        match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            Ok(review) => Ok(review.status.unwrap().user_info.unwrap().username.unwrap()),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn wait<T, E: std::fmt::Debug>(done: impl Future<Output = Result<T, E>>) -> T {
    tokio::time::timeout(PATIENCE, done).await.expect("it happens in time").unwrap()
}

/// A client that has nothing but a token.
async fn bearer(directory: &Path, token: &str) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(directory.join("kubeconfig")).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() });
    }
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

fn text(secret: &Secret, key: &str) -> String {
    let found = secret.data.as_ref().and_then(|data| data.get(key));
    found.map(|bytes| String::from_utf8(bytes.0.clone()).unwrap()).unwrap_or_default()
}

fn token_secret(account: &str) -> Value {
    json!({
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": account}},
        "type": "kubernetes.io/service-account-token",
    })
}

#[tokio::test]
async fn a_secret_gets_the_token_of_its_service_account_and_goes_with_it() {
    let cluster = Cluster::start().await;
    cluster.namespace("ns").await;
    let robot: ServiceAccount = cluster.create("ns", json!({"metadata": {"name": "robot"}})).await;
    cluster.create::<Secret>("ns", token_secret("robot")).await;
    let filled: Secret = cluster.until("ns", "robot-token", |secret| !text(secret, "token").is_empty()).await;
    assert_eq!(text(&filled, "namespace"), "ns");
    assert!(text(&filled, "ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(filled.annotations()["kubernetes.io/service-account.uid"], robot.uid().unwrap());
    let token = text(&filled, "token");
    assert_eq!(cluster.who(&token).await, Ok("system:serviceaccount:ns:robot".to_owned()));
    let used = |secret: &Secret| secret.labels().contains_key("kubernetes.io/legacy-token-last-used");
    cluster.until::<Secret>("ns", "robot-token", used).await;

    cluster.api::<ServiceAccount>("ns").delete("robot", &DeleteParams::default()).await.unwrap();
    assert_eq!(cluster.who(&token).await, Err(401));
    cluster.gone(cluster.api::<Secret>("ns"), &filled).await;
    cluster.plane.shutdown().await;
}

#[tokio::test]
async fn a_token_is_worthless_once_its_secret_is_gone() {
    let cluster = Cluster::start().await;
    cluster.namespace("ns").await;
    cluster.create::<ServiceAccount>("ns", json!({"metadata": {"name": "robot"}})).await;
    cluster.create::<Secret>("ns", token_secret("robot")).await;
    let filled: Secret = cluster.until("ns", "robot-token", |secret| !text(secret, "token").is_empty()).await;
    let token = text(&filled, "token");
    assert!(cluster.who(&token).await.is_ok());
    cluster.api::<Secret>("ns").delete("robot-token", &DeleteParams::default()).await.unwrap();
    assert_eq!(cluster.who(&token).await, Err(401));
    cluster.create::<Secret>("ns", token_secret("robot")).await;
    let again: Secret = cluster.until("ns", "robot-token", |secret| !text(secret, "token").is_empty()).await;
    assert_ne!(text(&again, "token"), token, "another Secret has another token");
    assert_eq!(cluster.who(&token).await, Err(401));
    cluster.plane.shutdown().await;
}

#[tokio::test]
async fn a_secret_without_its_service_account_goes() {
    let cluster = Cluster::start().await;
    cluster.namespace("ns").await;
    let secret: Secret = cluster.create("ns", token_secret("nobody")).await;
    cluster.gone(cluster.api::<Secret>("ns"), &secret).await;
    cluster.plane.shutdown().await;
}

fn bootstrap_token(id: &str, expiration: &str) -> Value {
    json!({
        "metadata": {"name": format!("bootstrap-token-{id}")},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id, "token-secret": "0123456789abcdef", "expiration": expiration,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
        },
    })
}

#[tokio::test]
async fn expired_bootstrap_tokens_go_and_the_others_sign_the_cluster_info() {
    let cluster = Cluster::start().await;
    let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "apiVersion: v1\n"}});
    cluster.create::<ConfigMap>("kube-public", info).await;
    let old: Secret = cluster.create("kube-system", bootstrap_token("oldold", "2020-01-01T00:00:00Z")).await;
    cluster.create::<Secret>("kube-system", bootstrap_token("abcdef", "")).await;
    cluster.gone(cluster.api::<Secret>("kube-system"), &old).await;
    let signatures = |info: &ConfigMap| -> Vec<String> {
        let names = info.data.iter().flatten().map(|(name, _)| name.clone());
        names.filter(|name| name.starts_with("jws-kubeconfig-")).collect()
    };
    let signed = |info: &ConfigMap| signatures(info) == ["jws-kubeconfig-abcdef"];
    cluster.until("kube-public", "cluster-info", signed).await;
    assert_eq!(cluster.who("abcdef.0123456789abcdef").await, Ok("system:bootstrap:abcdef".to_owned()));
    assert_eq!(cluster.who("oldold.0123456789abcdef").await, Err(401));
    let secrets = cluster.api::<Secret>("kube-system");
    secrets.delete("bootstrap-token-abcdef", &DeleteParams::default()).await.unwrap();
    cluster.until::<ConfigMap>("kube-public", "cluster-info", |info| signatures(info).is_empty()).await;
    cluster.plane.shutdown().await;
}

#[tokio::test]
async fn rootca_configmap_test() {
    const NAME: &str = "kube-root-ca.crt";
    let cluster = Cluster::start().await;
    cluster.namespace("ns").await;
    let has_ca = |map: &ConfigMap| {
        map.data
            .as_ref()
            .is_some_and(|data| data.len() == 1 && data["ca.crt"].starts_with("-----BEGIN CERTIFICATE-----"))
    };
    let first: ConfigMap = cluster.until("ns", NAME, has_ca).await;
    cluster.api::<ConfigMap>("ns").delete(NAME, &DeleteParams::default()).await.unwrap();
    let other = |map: &ConfigMap| has_ca(map) && map.uid() != first.uid();
    let mut second: ConfigMap = cluster.until("ns", NAME, other).await;
    second.data = Some([("ca.crt".to_owned(), String::new())].into());
    let changed =
        cluster.api::<ConfigMap>("ns").replace(NAME, &PostParams::default(), &second).await.unwrap();
    let mended = |map: &ConfigMap| has_ca(map) && map.resource_version() != changed.resource_version();
    cluster.until("ns", NAME, mended).await;
    cluster.plane.shutdown().await;
}
