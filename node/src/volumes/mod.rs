//! Volumes: what the volumes of a Pod are on this node, and what of them each container mounts.
//!
//! | kind | on the node |
//! |---|---|
//! | emptyDir | a directory of the pod; with `medium: Memory` a tmpfs, with `HugePages` a hugetlbfs |
//! | hostPath | the path itself, checked against its `type` |
//! | persistentVolumeClaim, ephemeral | where the PersistentVolume behind the claim is: a path or a directory ([`local`]) |
//! | csi, and claims on volumes of drivers | where a driver mounts it ([`crate::csi`]) |
//! | image | the layers of an image, mounted as one directory by who makes volumes of images ([`image`]) |
//! | configMap, secret, downwardAPI, projected | files written atomically ([`atomic`]) and again when their source changes, a token is to be renewed or a certificate was |
//!
//! # Guarantees
//! Setting up and tearing down may be repeated at any point; a failed set-up names the volume and what to do.

mod atomic;
mod devices;
mod host_path;
mod hugetlbfs;
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
use wherry_runtime_api::disk::{self, DiskUsage};

use crate::claims::{ClaimError, ClaimOfPod};
use crate::context::chain;
use crate::csi::{self, CsiError};
use crate::env::{FieldError, NodeFields, Sources};
use crate::huge_pages::MediumError;
use crate::objects::ObjectError;
use crate::pod_certificates::PodCertificateError;
use crate::tokens::TokenError;
use crate::trust_bundles::BundleError;
pub(crate) use atomic::{GroupChange, WriteError, remove_file};
pub(crate) use devices::devices;
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
        "{what} is not supported by this node yet: remove it or use a configMap, secret, downwardAPI, emptyDir, hostPath, a \
         claim of the class local-path or a volume of a CSI driver"
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
    /// A volume of volumeMode Block is none.
    #[error("volumeMode is Block, but {} is no block device", .0.display())]
    NoDevice(PathBuf),
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
    /// A driver does not give it.
    #[error(transparent)]
    Csi(#[from] CsiError),
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
    /// It is not said which huge pages it is made of.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// Huge pages cannot be mounted.
    #[error("cannot mount huge pages of {size} at {}: that needs root, and a kernel that has pages of this size", path.display())]
    HugePages {
        /// Of a page.
        size: String,
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
    /// A trust bundle cannot be shown.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A certificate cannot be had.
    #[error(transparent)]
    Certificate(#[from] PodCertificateError),
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
    /// Where those are that are devices.
    pub(crate) devices: BTreeMap<String, PathBuf>,
    /// Those of them and of the others that a driver gives.
    pub(crate) of_drivers: BTreeSet<String>,
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
            let known = before.and_then(|before| before.made(&volume.name));
            let made = if let Some(source) = &volume.csi {
                let source = csi::Source::Inline(&volume.name, source);
                of_driver(sources, source, (group, known)).await
            } else if let Some(claim) = persistent::claim(pod, volume) {
                self.claim(pod, &claim, sources, known).await
            } else {
                let setup = SetUp { pod, dir: dir.join(&volume.name), group };
                setup.run(volume, sources, node).await
            };
            volumes.add(&volume.name, made.map_err(failed)?);
            volumes.shows_pod |= payload::shows_pod(volume);
        }
        Ok(volumes)
    }

    /// Where the volume behind a claim of the pod is.
    async fn claim(
        &self,
        pod: &Pod,
        claim: &persistent::Claim,
        sources: &dyn Sources,
        known: Option<Made>,
    ) -> Result<Made, VolumeError> {
        // What is mounted stays, whatever becomes of the claim; of drivers alone it is looked at again.
        let known = match known {
            Some(made) if !made.is_of_driver => return Ok(Made { read_only: claim.read_only, ..made }),
            known => known,
        };
        let volume =
            sources.volume(&ClaimOfPod { name: &claim.name, is_ephemeral: claim.is_ephemeral }).await;
        let volume = match (volume, known.clone()) {
            (Ok(volume), _) => volume,
            (Err(_), Some(known)) => return Ok(known),
            (Err(source), None) => {
                let (namespace, name) =
                    (pod.metadata.namespace.clone().unwrap_or_default(), claim.name.clone());
                return Err(VolumeError::Claim { namespace, name, source });
            }
        };
        if volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some()) {
            let source = csi::Source::Persistent(&volume, claim.read_only);
            return of_driver(sources, source, (fs_group(pod), known)).await;
        }
        let mut made = persistent::mount(&volume, &self.local, (fs_group(pod), group_change(pod)))?;
        made.read_only |= claim.read_only;
        Ok(made)
    }

    /// Where parts of the pod's volumes are mounted for its containers.
    pub(crate) fn sub_paths(&self, uid: &str) -> SubPaths {
        SubPaths::new(self.pod_dir(uid).join("volume-subpaths"))
    }

    /// What each volume takes of the disk that is the pod's own.
    pub(crate) fn usage(&self, uid: &str) -> BTreeMap<String, DiskUsage> {
        let volumes = std::fs::read_dir(self.pod_dir(uid).join("volumes")).into_iter().flatten().flatten();
        // What drivers mounted is theirs.
        let own = volumes.filter(|volume| !volume.file_name().as_encoded_bytes().contains(&b'~'));
        let on_disk = own.filter(|volume| !mounted::is_other_file_system(&volume.path()));
        let usage = |volume: std::fs::DirEntry| {
            Some((volume.file_name().into_string().ok()?, disk::usage(&volume.path()).ok()?))
        };
        on_disk.filter_map(usage).collect()
    }

    /// Removes everything of the pod; what drivers mounted they have unmounted before.
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

/// When what is in volumes is given to it.
pub(crate) fn group_change(pod: &Pod) -> GroupChange {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => GroupChange::OnRootMismatch,
        _ => GroupChange::Always,
    }
}

/// What a driver gives; what it gave before stays when it fails.
async fn of_driver(
    sources: &dyn Sources,
    source: csi::Source<'_>,
    (group, known): (Option<u32>, Option<Made>),
) -> Result<Made, VolumeError> {
    match (sources.csi(source, group, known.is_some()).await, known) {
        (Ok(given), _) => Ok(Made {
            path: given.path,
            is_block: given.is_block,
            is_of_driver: true,
            read_only: given.read_only,
            refresh_at: given.again_at,
        }),
        (Err(error), Some(known)) => {
            tracing::warn!(volume = %known.path.display(), error = %chain(&error), "cannot look at a volume again yet");
            Ok(known)
        }
        (Err(error), None) => Err(error.into()),
    }
}

/// Gives all files of a volume to the group.
pub(crate) async fn give_to_group(
    path: PathBuf,
    group: Option<u32>,
    when: GroupChange,
) -> Result<(), WriteError> {
    let given = tokio::task::spawn_blocking(move || atomic::own_all(&path, group, when)).await;
    given.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A volume that was set up.
#[derive(Clone)]
struct Made {
    path: PathBuf,
    is_block: bool,
    is_of_driver: bool,
    read_only: bool,
    refresh_at: Option<Timestamp>,
}

impl Made {
    fn writable(path: PathBuf) -> Self {
        Self { path, is_block: false, is_of_driver: false, read_only: false, refresh_at: None }
    }
}

impl Volumes {
    fn add(&mut self, name: &str, made: Made) {
        let places = if made.is_block { &mut self.devices } else { &mut self.paths };
        places.insert(name.to_owned(), made.path);
        if made.read_only {
            self.read_only.insert(name.to_owned());
        }
        if made.is_of_driver {
            self.of_drivers.insert(name.to_owned());
        }
        self.refresh_at = self.refresh_at.into_iter().chain(made.refresh_at).min();
    }

    /// The volume as it was set up.
    fn made(&self, name: &str) -> Option<Made> {
        let (files, device) = (self.paths.get(name), self.devices.get(name));
        Some(Made {
            path: files.or(device)?.clone(),
            is_block: device.is_some(),
            is_of_driver: self.of_drivers.contains(name),
            read_only: self.read_only.contains(name),
            refresh_at: self.refresh_at.filter(|_| self.of_drivers.contains(name)),
        })
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
            let refresh_at = payload.refresh_at;
            return Ok(Made { read_only: true, refresh_at, ..Made::writable(self.dir.clone()) });
        }
        Err(VolumeError::Unsupported { what: kind_of(volume) })
    }

    fn empty_dir(&self, source: &EmptyDirVolumeSource, node: &NodeFields) -> Result<PathBuf, VolumeError> {
        atomic::create_dir(&self.dir, 0o777)?;
        match source.medium.as_deref().unwrap_or_default() {
            "" => {}
            "Memory" => tmpfs::mount(&self.dir, tmpfs::size(self.pod, source, node)?)?,
            _ => hugetlbfs::mount(&self.dir, source, self.pod)?,
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
        Volume { nfs: Some(_), .. } => "an nfs volume",
        _ => "this kind of volume",
    }
}
