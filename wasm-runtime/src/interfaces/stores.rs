//! Which buckets and blobs a container has: those of its Pod, or those of a volume, whichever containers and Pods of this node mount it.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wherry_runtime_api::{ContainerSpec, SandboxId};

use super::blobs::{Blobs, BlobsError};
use super::journal::JournalError;
use super::keyvalue::Buckets;
use crate::preopens;

/// All buckets and blobs of the node.
pub(crate) struct Stores {
    /// What all buckets of a Pod or volume may keep.
    most: usize,
    pods: Mutex<HashMap<SandboxId, Arc<Buckets>>>,
    buckets: Volumes<Buckets>,
    blobs: Volumes<Blobs>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is nowhere to keep them.
    #[error(
        "the annotation run.wherry.dev/{annotation} of its Pod names {path:?}, where it mounts no directory that it may write to"
    )]
    NotMounted { annotation: &'static str, path: String },
    /// Nobody said where to keep them.
    #[error(
        "it imports wasi:blobstore, and the annotation run.wherry.dev/blobstore of its Pod names no mount for it"
    )]
    NoVolume,
    /// The volume is not to be had.
    #[error("cannot look at {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The volume does not have buckets.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The volume cannot have blobs.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
}

impl Stores {
    /// None yet; the buckets of each Pod or volume may keep so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, pods: Mutex::default(), buckets: Volumes::new(), blobs: Volumes::new() }
    }

    /// The buckets of a container whose Pod has them in the volume that is mounted at `mount`, or in memory.
    pub(crate) fn buckets(
        &self,
        spec: &ContainerSpec,
        mount: Option<&str>,
    ) -> Result<Arc<Buckets>, StoreError> {
        let Some(path) = mount else { return Ok(self.of_pod(&spec.sandbox.id)) };
        let open = |volume: &Path| Ok(Buckets::in_volume(volume, self.most)?);
        self.buckets.of(mounted(spec, "keyvalue", path)?, open)
    }

    /// The blobs of a container whose Pod has them in the volume that is mounted at `mount`.
    pub(crate) fn blobs(&self, spec: &ContainerSpec, mount: Option<&str>) -> Result<Arc<Blobs>, StoreError> {
        let path = mount.ok_or(StoreError::NoVolume)?;
        self.blobs.of(mounted(spec, "blobstore", path)?, |volume| Ok(Blobs::open(volume)?))
    }

    /// The Pod is gone.
    pub(crate) fn remove(&self, pod: &SandboxId) {
        self.pods.lock().remove(pod);
    }

    fn of_pod(&self, pod: &SandboxId) -> Arc<Buckets> {
        let make = || Arc::new(Buckets::in_memory(self.most));
        Arc::clone(self.pods.lock().entry(pod.clone()).or_insert_with(make))
    }
}

/// Where the volume is that a container mounts at `path`, to write to.
fn mounted<'a>(
    spec: &'a ContainerSpec,
    annotation: &'static str,
    path: &str,
) -> Result<&'a Path, StoreError> {
    let not_mounted = || StoreError::NotMounted { annotation, path: path.to_owned() };
    preopens::writable(&spec.mounts, path).ok_or_else(not_mounted)
}

/// What volumes keep, by device and number of their directories, while some container has it.
struct Volumes<T>(Mutex<HashMap<(u64, u64), Weak<T>>>);

impl<T> Volumes<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn of(
        &self,
        volume: &Path,
        open: impl FnOnce(&Path) -> Result<T, StoreError>,
    ) -> Result<Arc<T>, StoreError> {
        let failed = |source| StoreError::Io { path: volume.to_owned(), source };
        let metadata = std::fs::metadata(volume).map_err(failed)?;
        let mut volumes = self.0.lock();
        volumes.retain(|_, kept| kept.strong_count() > 0);
        let place = (metadata.dev(), metadata.ino());
        if let Some(kept) = volumes.get(&place).and_then(Weak::upgrade) {
            return Ok(kept);
        }
        let kept = Arc::new(open(volume)?);
        volumes.insert(place, Arc::downgrade(&kept));
        Ok(kept)
    }
}
