//! Volumes that are directories of this node, made for claims by the controller of `wherry.io/local-path`.
//!
//! ```text
//! (made: object) --a pod mounts it--> (directory) --the object is deleted--> (removed: finalizer off)
//! ```
//!
//! # Guarantees
//! - Only what lies in the node's own directory of volumes, under the name of its object, is made or removed.
//! - The object stays until its directory is gone. A volume that is to be retained keeps its directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_api::local_path::{FINALIZER, NODE, path};

use super::atomic::{self, WriteError};
use crate::context::chain;

/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Whose they are, and where.
#[derive(Clone, Debug)]
pub(crate) struct LocalVolumes {
    node: String,
    directory: String,
}

/// Why a directory was not removed.
#[derive(Debug, thiserror::Error)]
enum RemoveError {
    #[error("cannot remove the directory of a volume")]
    Directory(#[from] WriteError),
    #[error("cannot write that the directory of a volume is gone")]
    Finalizer(#[from] kube::Error),
}

impl LocalVolumes {
    /// The volumes of this node, under `directory`.
    pub(crate) fn new(node: &str, directory: &Path) -> Self {
        Self { node: node.to_owned(), directory: directory.to_string_lossy().into_owned() }
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether the volume is a directory of this node.
    pub(super) fn is_one(&self, volume: &PersistentVolume) -> bool {
        let local = volume.spec.as_ref().and_then(|spec| spec.local.as_ref());
        let name = volume.name_any();
        // Names of objects have no slashes, and are no dots.
        volume.labels().get(NODE) == Some(&self.node)
            && local.is_some_and(|local| local.path == path(&self.directory, &name))
    }

    /// Makes the directory of the volume, unless it is there.
    pub(super) fn make(&self, volume: &PersistentVolume) -> Result<(), WriteError> {
        atomic::create_dir(&self.path(volume), 0o777)
    }

    fn path(&self, volume: &PersistentVolume) -> PathBuf {
        PathBuf::from(path(&self.directory, &volume.name_any()))
    }

    /// Whether the volume waits for this node to remove its directory.
    fn is_to_go(&self, volume: &PersistentVolume) -> bool {
        volume.metadata.deletion_timestamp.is_some()
            && volume.labels().get(NODE) == Some(&self.node)
            // What others keep may still be used.
            && volume.finalizers() == [FINALIZER]
    }

    /// Removes the directory, unless it is to be kept.
    async fn remove(&self, volume: &PersistentVolume) -> Result<(), WriteError> {
        let spec = volume.spec.as_ref();
        let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        if policy != Some("Delete") || !self.is_one(volume) {
            return Ok(());
        }
        let directory = self.path(volume);
        let removed = tokio::task::spawn_blocking(move || atomic::remove_dir(&directory)).await;
        removed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// Removes the directories of volumes that are deleted, until `shutdown`.
pub(crate) async fn remove_deleted(client: Client, local: LocalVolumes, shutdown: CancellationToken) {
    let volumes = Api::<PersistentVolume>::all(client);
    let config = watcher::Config::default().labels(&format!("{NODE}={}", local.node));
    let mut changes = watcher(volumes.clone(), config).default_backoff().applied_objects().boxed();
    let mut failed = BTreeMap::<String, PersistentVolume>::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            change = changes.next() => match change {
                Some(Ok(volume)) if local.is_to_go(&volume) => drop(failed.insert(volume.name_any(), volume)),
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    warn!(error = %chain(&error), "watch of volumes broke off");
                    continue;
                }
                None => return,
            },
            () = tokio::time::sleep(RETRY), if !failed.is_empty() => {}
        }
        for (name, volume) in std::mem::take(&mut failed) {
            match finish(&volumes, &local, &volume).await {
                Ok(()) => info!(volume = %name, "volume removed"),
                Err(error) => {
                    warn!(volume = %name, error = %chain(&error), "cannot remove a volume yet");
                    failed.insert(name, volume);
                }
            }
        }
    }
}

async fn finish(
    volumes: &Api<PersistentVolume>,
    local: &LocalVolumes,
    volume: &PersistentVolume,
) -> Result<(), RemoveError> {
    local.remove(volume).await?;
    let patch = json!({ "metadata": {
        "uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version, "finalizers": null,
    } });
    match volumes.patch(&volume.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        // It is gone, or an event tells how it is now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        written => Ok(written.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::testing::FakeApi;

    fn volume(directory: &Path, more: Value) -> Value {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {
                "name": "pvc-1", "uid": "v-1", "labels": {NODE: "here"}, "finalizers": [FINALIZER],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"local": {"path": directory.join("pvc-1")}, "persistentVolumeReclaimPolicy": "Delete"},
        });
        json_patch(&mut volume, more);
        volume
    }

    fn json_patch(into: &mut Value, more: Value) {
        match more {
            Value::Object(fields) => {
                fields.into_iter().for_each(|(name, value)| json_patch(&mut into[name], value));
            }
            other => *into = other,
        }
    }

    #[tokio::test]
    async fn the_directory_of_a_deleted_volume_is_removed_before_its_object() {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalVolumes::new("here", dir.path());
        let (api, tasks, stop) = (FakeApi::new(), TaskTracker::new(), CancellationToken::new());
        let object = volume(dir.path(), json!({}));
        local.make(&serde_json::from_value(object.clone()).unwrap()).unwrap();
        std::fs::write(dir.path().join("pvc-1/file"), "x").unwrap();
        api.put("/api/v1/persistentvolumes/pvc-1", object);
        tasks.spawn(remove_deleted(api.client(), local, stop.clone()));
        let left = api
            .wait_for("/api/v1/persistentvolumes/pvc-1", |volume| volume["metadata"]["finalizers"].is_null());
        left.await;
        assert!(!dir.path().join("pvc-1").exists());
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[rstest]
    #[case::deleted(json!({}), true, false)]
    #[case::retained(json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}), true, true)]
    #[case::elsewhere(json!({"spec": {"local": {"path": "/etc"}}}), true, true)]
    #[case::of_another(json!({"metadata": {"labels": {NODE: "there"}}}), false, true)]
    #[case::used(json!({"metadata": {"finalizers": ["kubernetes.io/pv-protection", FINALIZER]}}), false, true)]
    #[case::not_deleted(json!({"metadata": {"deletionTimestamp": null}}), false, true)]
    #[tokio::test]
    async fn only_what_is_to_go_and_lies_here_is_removed(
        #[case] more: Value,
        #[case] goes: bool,
        #[case] stays_on_disk: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalVolumes::new("here", dir.path());
        let volume: PersistentVolume = serde_json::from_value(volume(dir.path(), more)).unwrap();
        std::fs::create_dir(dir.path().join("pvc-1")).unwrap();
        assert_eq!(local.is_to_go(&volume), goes);
        if goes {
            local.remove(&volume).await.unwrap();
        }
        assert_eq!(dir.path().join("pvc-1").exists(), stays_on_disk);
    }
}
