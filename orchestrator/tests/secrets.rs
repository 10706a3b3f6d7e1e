//! Secrets on disk: the file does not have them, whoever holds the keys does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::{ControlPlane, secrets};

const WORD: &str = "correct-horse-battery-staple";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

async fn start(directory: &Path) -> ControlPlane {
    ControlPlane::start_api(support::config(directory).await).await.unwrap()
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
    let refused = secrets::rotate(path, &clock()).await.unwrap_err();
    let why = "cannot open the store; a cluster must not run while the keys of its Secrets are changed";
    assert_eq!((refused.to_string().as_str(), keys().lines().count()), (why, 1));
    plane.shutdown().await;

    assert_eq!(secrets::rotate(path, &clock()).await.unwrap(), 1);
    assert!(keys().starts_with("key2:") && keys().lines().count() == 1);
    assert!(!on_disk(path, &encoded));
    let plane = start(path).await;
    let after = secrets_of(&plane).get("s").await.unwrap();
    assert_eq!(after.data, changed.data);
    assert_ne!(after.metadata.resource_version, changed.metadata.resource_version);
    plane.shutdown().await;

    // Without its key the store is refused, and says which Secret cannot be read.
    std::fs::write(path.join("pki/secrets.key"), "").unwrap();
    let again = secrets::rotate(path, &clock()).await.unwrap_err();
    let cause = std::error::Error::source(&again).and_then(std::error::Error::source).unwrap().to_string();
    assert!(cause.contains("/registry/secrets/default/s"), "{cause}");
}
