//! Secrets on disk: the file does not have them, whoever holds the keys does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde_json::json;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::{Config, ControlPlane, EncryptionFile, secrets};

const WORD: &str = "correct-horse-battery-staple";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

async fn start(directory: &Path) -> ControlPlane {
    Box::pin(ControlPlane::start_api(support::config(directory).await)).await.unwrap()
}

fn secrets_of(plane: &ControlPlane) -> Api<Secret> {
    Api::namespaced(plane.client("test", "test"), "default")
}

/// Whether the file of the store has this text somewhere.
fn on_disk(directory: &Path, text: &str) -> bool {
    let bytes = std::fs::read(directory.join("store.redb")).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_found_in_the_file_and_survive_a_change_of_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let plane = start(path).await;
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"password": WORD}})).unwrap();
    let mut made = secrets_of(&plane).create(&PostParams::default(), &secret).await.unwrap();
    // An older version of it is on disk as well, and something that is no secret.
    made.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let changed = secrets_of(&plane).replace("s", &PostParams::default(), &made).await.unwrap();
    let open: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "c"}, "data": {"k": "an-open-word"}})).unwrap();
    let maps = Api::<ConfigMap>::namespaced(plane.client("test", "test"), "default");
    maps.create(&PostParams::default(), &open).await.unwrap();
    plane.shutdown().await;

    let encoded = base64::engine::general_purpose::STANDARD.encode(WORD);
    assert!(on_disk(path, "an-open-word"));
    assert!(!on_disk(path, WORD) && !on_disk(path, &encoded));
    let keys = || std::fs::read_to_string(path.join("pki/secrets.key")).unwrap();
    assert!(keys().starts_with("key1:"));

    let plane = start(path).await;
    assert_eq!(secrets_of(&plane).get("s").await.unwrap(), changed);
    let refused = secrets::rotate(path, None, &clock()).await.unwrap_err();
    let why = "cannot open the store; a cluster must not run while the keys of its Secrets are changed";
    assert_eq!((refused.to_string().as_str(), keys().lines().count()), (why, 1));
    plane.shutdown().await;

    assert_eq!(secrets::rotate(path, None, &clock()).await.unwrap(), 1);
    assert!(keys().starts_with("key2:") && keys().lines().count() == 1);
    assert!(!on_disk(path, &encoded));
    let plane = start(path).await;
    let after = secrets_of(&plane).get("s").await.unwrap();
    assert_eq!(after.data, changed.data);
    assert_ne!(after.metadata.resource_version, changed.metadata.resource_version);
    plane.shutdown().await;

    // Without its key the store is refused, and says which Secret cannot be read.
    std::fs::write(path.join("pki/secrets.key"), "").unwrap();
    let again = secrets::rotate(path, None, &clock()).await.unwrap_err();
    let cause = std::error::Error::source(&again).and_then(std::error::Error::source).unwrap().to_string();
    assert!(cause.contains("/registry/secrets/default/s"), "{cause}");
}

async fn start_with(directory: &Path, file: &Path) -> ControlPlane {
    let encryption = Some(EncryptionFile { path: file.to_owned(), reload: false });
    let config = Config { encryption, ..support::config(directory).await };
    ControlPlane::start_api(config).await.unwrap()
}

/// Makes a custom object that holds the word.
async fn make_custom(plane: &ControlPlane) -> Api<DynamicObject> {
    let client = plane.client("test", "test");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names = json!({"plural": "vaults", "singular": "vault", "kind": "Vault"});
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "vaults.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }))
    .unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    await_condition(definitions, "vaults.example.com", is_crd_established()).await.unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Vault"));
    let vaults = Api::<DynamicObject>::namespaced_with(client, "default", &resource);
    let vault = DynamicObject::new("v", &resource).data(json!({"spec": {"word": WORD}}));
    vaults.create(&PostParams::default(), &vault).await.unwrap();
    vaults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_configuration_names_is_not_found_in_the_file_and_is_sealed_anew_by_its_first_provider() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path(), directory.path().join("encryption.yaml"));
    let write = |providers: &str| {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
        let rule =
            format!("resources: [{{resources: [secrets, '*.example.com'], providers: [{providers}]}}]");
        std::fs::write(&file, format!("{head}{rule}")).unwrap();
    };
    let key = |provider: &str, name: &str| {
        let secret = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
        format!("{{{provider}: {{keys: [{{name: {name}, secret: {secret}}}]}}}}")
    };
    let old = key("aescbc", "old");
    write(&old);
    let plane = start_with(path, &file).await;
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"password": WORD}})).unwrap();
    let made = secrets_of(&plane).create(&PostParams::default(), &secret).await.unwrap();
    make_custom(&plane).await;
    plane.shutdown().await;

    let encoded = base64::engine::general_purpose::STANDARD.encode(WORD);
    let plain = || on_disk(path, WORD) || on_disk(path, &encoded);
    assert!(!plain() && on_disk(path, "k8s:enc:aescbc:v1:old:") && !on_disk(path, "k8s:enc:aesgcm"));

    write(&format!("{}, {old}", key("secretbox", "new")));
    assert_eq!(secrets::rotate(path, Some(&file), &clock()).await.unwrap(), 2);
    assert!(!plain() && on_disk(path, "k8s:enc:secretbox:v1:new:"));
    // Nothing needs the old key any more, and without the new one the store says what it cannot read.
    write(&old);
    let error = secrets::rotate(path, Some(&file), &clock()).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text: String = causes.map(ToString::to_string).collect();
    assert!(text.contains("/registry/") && text.contains("k8s:enc:secretbox:v1:new"), "{text}");
    write(&key("secretbox", "new"));
    let plane = start_with(path, &file).await;
    assert_eq!(secrets_of(&plane).get("s").await.unwrap().data, made.data);
    plane.shutdown().await;
    write(&format!("{{identity: {{}}}}, {}", key("secretbox", "new")));
    assert_eq!(secrets::rotate(path, Some(&file), &clock()).await.unwrap(), 2);
    assert!(plain());
}
