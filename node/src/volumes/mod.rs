//! Volumes: what the volumes of a Pod are on this node, and what of them each container mounts.
//!
//! | kind | on the node |
//! |---|---|
//! | emptyDir | a directory of the pod; with `medium: Memory` a tmpfs |
//! | hostPath | the path itself, checked against its `type` |
//! | persistentVolumeClaim, ephemeral | where the PersistentVolume behind the claim is: a path or a directory ([`local`]) |
//! | image | the layers of an image, mounted as one directory by who makes volumes of images ([`image`]) |
//! | configMap, secret, downwardAPI, projected | files written atomically ([`atomic`]) and again when their source changes or a token is to be renewed |
//!
//! # Guarantees
//! Setting up and tearing down may be repeated at any point; a failed set-up names the volume and what to do.

mod atomic;
mod host_path;
mod image;
mod local;
mod mounted;
mod mounts;
mod payload;
mod persistent;
pub(crate) mod recursive;
mod subpath;
#[cfg(test)]
mod tests;
mod tmpfs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use wherry_runtime_api::disk;

use crate::claims::{ClaimError, ClaimOfPod};
use crate::env::{FieldError, NodeFields, Sources};
use crate::objects::ObjectError;
use crate::tokens::TokenError;
pub(crate) use atomic::WriteError;
pub(crate) use local::{LocalVolumes, remove_deleted};
pub(crate) use mounts::Mounter;
pub(crate) use subpath::SubPaths;

/// Why a volume cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// The object it shows does not exist.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The object lacks a key that is asked for.
    #[error("{kind} references non-existent config key: {key}")]
    Key {
        /// The key.
        key: String,
        /// `configmap` or `secret`.
        kind: &'static str,
    },
    /// Not supported.
    #[error(
        "{what} is not supported by this node yet: remove it or use a configMap, secret, downwardAPI, emptyDir, hostPath or \
         a claim of the class local-path"
    )]
    Unsupported {
        /// The kind of volume or source.
        what: &'static str,
    },
    /// A hostPath is not what its type says.
    #[error("hostPath type check failed: {} is not a {expected}", path.display())]
    HostPathType {
        /// The path.
        path: PathBuf,
        /// What it should be.
        expected: String,
    },
    /// There is nothing where a local PersistentVolume should be.
    #[error("path {0:?} does not exist")]
    LocalPath(PathBuf),
    /// There is no volume behind a claim.
    #[error("error processing PVC {namespace}/{name}")]
    Claim {
        /// The claim's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The cause.
        source: ClaimError,
    },
    /// A size that cannot be parsed.
    #[error("cannot parse quantity {0:?}")]
    Size(String),
    /// A tmpfs cannot be mounted.
    #[error("cannot mount a tmpfs at {}: medium Memory needs root", path.display())]
    Tmpfs {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A field cannot be shown.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file operation failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The volumes of a pod that are set up, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    /// Where each volume is.
    pub(crate) paths: BTreeMap<String, PathBuf>,
    /// Those of them that nobody may write to.
    pub(crate) read_only: BTreeSet<String>,
    /// Those in which nothing can be executed.
    pub(crate) no_exec: BTreeSet<String>,
    /// Whether some of their files show the pod itself.
    pub(crate) shows_pod: bool,
    /// When files are to be written again, though nothing they come from changes.
    pub(crate) refresh_at: Option<Timestamp>,
}

impl Volumes {
    /// The same, with a refresh that failed put off. What objects show comes with their next change; the pod's own
    /// fields have none to wait for.
    pub(crate) fn refreshed_later(&self, at: Timestamp) -> Self {
        let due = self.refresh_at.or(self.shows_pod.then_some(at));
        Self { refresh_at: due.map(|due| due.max(at)), ..self.clone() }
    }
}

/// A volume that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?}")]
pub(crate) struct SetUpError {
    /// The volume.
    pub(crate) volume: String,
    /// The cause.
    pub(crate) source: VolumeError,
}

/// Where volumes are set up.
#[derive(Clone, Debug)]
pub(crate) struct VolumeRoot {
    pods: PathBuf,
    local: LocalVolumes,
}

impl VolumeRoot {
    /// Volumes under `pods`, and those that last longer.
    pub(crate) fn new(pods: PathBuf, local: LocalVolumes) -> Self {
        Self { pods, local }
    }

    /// The volumes that last longer than pods.
    pub(crate) fn local(&self) -> &LocalVolumes {
        &self.local
    }

    /// The directory of one pod.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }

    /// The pods that have directories here.
    pub(crate) fn pods(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.pods).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Sets all volumes of the pod up but those of images, or brings those made of files up to date. Claims that were mounted `before` still
    /// are.
    pub(crate) async fn set_up(
        &self,
        pod: &Pod,
        sources: &dyn Sources,
        node: &NodeFields,
        before: Option<&Volumes>,
    ) -> Result<Volumes, SetUpError> {
        let dir = self.pod_dir(pod.metadata.uid.as_deref().unwrap_or_default()).join("volumes");
        let group = fs_group(pod);
        let mut volumes = Volumes::default();
        let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for volume in all.filter(|volume| volume.image.is_none()) {
            let failed = |source| SetUpError { volume: volume.name.clone(), source };
            if let Some((claim, is_ephemeral, read_only)) = persistent::claim(pod, volume) {
                let known = before.and_then(|before| before.paths.get(&volume.name)).cloned();
                let path = match known {
                    Some(path) => path,
                    None => self.claim(pod, &claim, is_ephemeral, sources).await.map_err(failed)?,
                };
                volumes.paths.insert(volume.name.clone(), path);
                if read_only {
                    volumes.read_only.insert(volume.name.clone());
                }
                continue;
            }
            let setup = SetUp { pod, dir: dir.join(&volume.name), group };
            let made = setup.run(volume, sources, node).await.map_err(failed)?;
            volumes.paths.insert(volume.name.clone(), made.path);
            if made.read_only {
                volumes.read_only.insert(volume.name.clone());
            }
            volumes.shows_pod |= payload::shows_pod(volume);
            volumes.refresh_at = volumes.refresh_at.into_iter().chain(made.refresh_at).min();
        }
        Ok(volumes)
    }

    /// Where the volume behind a claim of the pod is.
    async fn claim(
        &self,
        pod: &Pod,
        name: &str,
        is_ephemeral: bool,
        sources: &dyn Sources,
    ) -> Result<PathBuf, VolumeError> {
        let volume = sources.volume(&ClaimOfPod { name, is_ephemeral }).await;
        let volume = volume.map_err(|source| VolumeError::Claim {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
            source,
        })?;
        persistent::mount(&volume, &self.local, fs_group(pod))
    }

    /// Where parts of the pod's volumes are mounted for its containers.
    pub(crate) fn sub_paths(&self, uid: &str) -> SubPaths {
        SubPaths::new(self.pod_dir(uid).join("volume-subpaths"))
    }

    /// The bytes of the disk that each volume takes that is the pod's own.
    pub(crate) fn usage(&self, uid: &str) -> BTreeMap<String, u64> {
        let volumes = std::fs::read_dir(self.pod_dir(uid).join("volumes")).into_iter().flatten().flatten();
        let on_disk = volumes.filter(|volume| !mounted::is_other_file_system(&volume.path()));
        let usage = |volume: std::fs::DirEntry| {
            Some((volume.file_name().into_string().ok()?, disk::usage(&volume.path()).ok()?))
        };
        on_disk.filter_map(usage).collect()
    }

    /// Removes everything of the pod.
    pub(crate) fn tear_down(&self, uid: &str) -> Result<(), WriteError> {
        let dir = self.pod_dir(uid);
        // While a part of a volume is mounted here, removing the directory would remove what is in the volume.
        self.sub_paths(uid).tear_down()?;
        mounted::unmount_below(&dir)?;
        atomic::remove_dir(&dir)
    }
}

/// Files in volumes belong to this group, if the process may give them away.
fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok().filter(|_| rustix::process::geteuid().is_root())
}

/// A volume that was set up.
struct Made {
    path: PathBuf,
    read_only: bool,
    refresh_at: Option<Timestamp>,
}

impl Made {
    fn writable(path: PathBuf) -> Self {
        Self { path, read_only: false, refresh_at: None }
    }
}

struct SetUp<'a> {
    pod: &'a Pod,
    dir: PathBuf,
    group: Option<u32>,
}

impl SetUp<'_> {
    async fn run(
        &self,
        volume: &Volume,
        sources: &dyn Sources,
        node: &NodeFields,
    ) -> Result<Made, VolumeError> {
        if let Some(source) = &volume.host_path {
            let kind = source.type_.as_deref().unwrap_or_default();
            return Ok(Made::writable(host_path::check(Path::new(&source.path), kind)?));
        }
        if let Some(source) = &volume.empty_dir {
            return Ok(Made::writable(self.empty_dir(source, node)?));
        }
        if let Some(mut payload) = payload::read(self.pod, volume, sources, node).await? {
            if self.group.is_some() {
                for file in &mut payload.files {
                    file.mode |= 0o440;
                }
            }
            atomic::write(&self.dir, &payload.files, self.group)?;
            return Ok(Made { path: self.dir.clone(), read_only: true, refresh_at: payload.refresh_at });
        }
        Err(VolumeError::Unsupported { what: kind_of(volume) })
    }

    fn empty_dir(&self, source: &EmptyDirVolumeSource, node: &NodeFields) -> Result<PathBuf, VolumeError> {
        atomic::create_dir(&self.dir, 0o777)?;
        match source.medium.as_deref().unwrap_or_default() {
            "" => {}
            "Memory" => tmpfs::mount(&self.dir, tmpfs::size(self.pod, source, node)?)?,
            _ => return Err(VolumeError::Unsupported { what: "an emptyDir of huge pages" }),
        }
        if self.group.is_some() {
            atomic::own(&self.dir, self.group)?;
            atomic::set_mode(&self.dir, 0o2777)?;
        }
        Ok(self.dir.clone())
    }
}

fn kind_of(volume: &Volume) -> &'static str {
    match volume {
        Volume { csi: Some(_), .. } => "a csi volume",
        Volume { nfs: Some(_), .. } => "an nfs volume",
        _ => "this kind of volume",
    }
}
