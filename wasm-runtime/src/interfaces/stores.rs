//! Which buckets and blobs a container has: those of its Pod, those of a volume, whichever containers and Pods of this node mount it, or those of its
//! namespace in the node's Redis.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use wherry_runtime_api::{ContainerSpec, SandboxId};

use super::blobs::{Blobs, BlobsError};
use super::journal::JournalError;
use super::keyvalue::Buckets;
use super::keyvalue::local::Local;
use super::keyvalue::redis::{Namespace, Redis, Server};
use crate::preopens;
use crate::settings::Keyvalue;

/// All buckets and blobs of the node.
pub(crate) struct Stores {
    /// What all buckets of a Pod or volume may keep.
    most: usize,
    pods: Mutex<HashMap<SandboxId, Arc<Local>>>,
    buckets: Volumes<Local>,
    redis: Option<Arc<Server>>,
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
    /// There is none.
    #[error(
        "the annotation run.wherry.dev/keyvalue of its Pod says redis, and this node has none: it is named by --keyvalue-redis"
    )]
    NoRedis,
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
    /// None yet; the buckets of each Pod or volume may keep so many bytes. The threads of `node` are in its own network.
    pub(crate) fn new(most: usize, redis: Option<Redis>, node: &Handle) -> Self {
        let redis = redis.map(|redis| Arc::new(Server::new(redis, node.clone())));
        Self { most, pods: Mutex::default(), buckets: Volumes::new(), redis, blobs: Volumes::new() }
    }

    /// The buckets of a container whose Pod has them where it says, or in memory.
    pub(crate) fn buckets(
        &self,
        spec: &ContainerSpec,
        place: Option<&Keyvalue>,
    ) -> Result<Buckets, StoreError> {
        match place {
            None => Ok(Buckets::Local(self.of_pod(&spec.sandbox.id))),
            Some(Keyvalue::Mount(path)) => {
                let open = |volume: &Path| Ok(Local::in_volume(volume, self.most)?);
                Ok(Buckets::Local(self.buckets.of(mounted(spec, "keyvalue", path)?, open)?))
            }
            Some(Keyvalue::Redis) => {
                let server = Arc::clone(self.redis.as_ref().ok_or(StoreError::NoRedis)?);
                Ok(Buckets::Redis(Arc::new(Namespace::new(server, &spec.sandbox.namespace))))
            }
        }
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

    fn of_pod(&self, pod: &SandboxId) -> Arc<Local> {
        let make = || Arc::new(Local::in_memory(self.most));
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
