//! Which buckets a container has: those of its Pod, or those of a volume, whichever containers and Pods of this node mount it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wherry_runtime_api::{ContainerSpec, SandboxId};

use super::journal::JournalError;
use super::keyvalue::Buckets;

/// All buckets of the node.
pub(crate) struct Stores {
    /// What each may keep.
    most: usize,
    pods: Mutex<HashMap<SandboxId, Arc<Buckets>>>,
    /// By device and number of the directory.
    volumes: Mutex<HashMap<(u64, u64), Weak<Buckets>>>,
}

/// Why there are no buckets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is nowhere to keep them.
    #[error(
        "the annotation run.wherry.dev/keyvalue of its Pod names {0:?}, where it mounts no directory that it may write to"
    )]
    NotMounted(String),
    /// The volume does not have them.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Stores {
    /// None yet; each may keep so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, pods: Mutex::default(), volumes: Mutex::default() }
    }

    /// Those of a container whose Pod has them in the volume that is mounted at `mount`, or in memory.
    pub(crate) fn of(&self, spec: &ContainerSpec, mount: Option<&str>) -> Result<Arc<Buckets>, StoreError> {
        let Some(path) = mount else { return Ok(self.of_pod(&spec.sandbox.id)) };
        let is_it = |mounted: &str| mounted.trim_end_matches('/') == path.trim_end_matches('/');
        let found = spec.mounts.iter().find(|mount| is_it(&mount.container_path) && !mount.read_only);
        let volume = found.filter(|mount| mount.host_path.is_dir());
        self.of_volume(&volume.ok_or_else(|| StoreError::NotMounted(path.to_owned()))?.host_path)
    }

    /// The Pod is gone.
    pub(crate) fn remove(&self, pod: &SandboxId) {
        self.pods.lock().remove(pod);
    }

    fn of_pod(&self, pod: &SandboxId) -> Arc<Buckets> {
        let make = || Arc::new(Buckets::in_memory(self.most));
        Arc::clone(self.pods.lock().entry(pod.clone()).or_insert_with(make))
    }

    fn of_volume(&self, volume: &Path) -> Result<Arc<Buckets>, StoreError> {
        let failed = |source| JournalError::Io { action: "look at", path: volume.to_owned(), source };
        let metadata = std::fs::metadata(volume).map_err(failed)?;
        let mut volumes = self.volumes.lock();
        volumes.retain(|_, buckets| buckets.strong_count() > 0);
        let place = (metadata.dev(), metadata.ino());
        if let Some(buckets) = volumes.get(&place).and_then(Weak::upgrade) {
            return Ok(buckets);
        }
        let buckets = Arc::new(Buckets::in_volume(volume, self.most)?);
        volumes.insert(place, Arc::downgrade(&buckets));
        Ok(buckets)
    }
}
