//! What a container mounts of its pod's volumes.

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use wherry_runtime_api::{Mount, MountOptions, Propagation};

use super::subpath::{SubPathError, SubPaths};
use super::{Volumes, recursive};
use crate::env::{Environment, expand_known};

/// Why a mount cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The pod has no such volume.
    #[error("volumeMount names volume {0:?}, which the pod does not have")]
    Volume(String),
    /// A variable of `subPathExpr` is not set.
    #[error("subPathExpr {expression:?} of volume {volume:?}: there is no variable {name:?}")]
    Variable {
        /// The volume.
        volume: String,
        /// The expression.
        expression: String,
        /// The variable.
        name: String,
    },
    /// The path within the volume cannot be used.
    #[error("cannot use volume {volume:?}")]
    SubPath {
        /// The volume.
        volume: String,
        /// The cause.
        source: SubPathError,
    },
    /// The kernel is too old.
    #[error("recursiveReadOnly of volume {0:?} needs Linux 5.12 or newer: use IfPossible")]
    RecursiveReadOnly(String),
}

/// For which container mounts are made.
pub(crate) struct Mounter<'a> {
    /// The container.
    pub(crate) container: &'a Container,
    /// The pod's volumes.
    pub(crate) volumes: &'a Volumes,
    /// Where parts of volumes are mounted.
    pub(crate) sub_paths: &'a SubPaths,
    /// The container's variables, for `subPathExpr`.
    pub(crate) env: &'a Environment,
    /// Whether the runtime has files linked rather than mounted.
    pub(crate) links_files: bool,
}

impl Mounter<'_> {
    /// The mounts of the container.
    pub(crate) fn mounts(&self) -> Result<Vec<Mount>, MountError> {
        let mounts = self.container.volume_mounts.iter().flatten().enumerate();
        mounts.map(|(number, mount)| self.one(number, mount)).collect()
    }

    fn one(&self, number: usize, mount: &VolumeMount) -> Result<Mount, MountError> {
        let volume = &mount.name;
        let path = self.volumes.paths.get(volume).ok_or_else(|| MountError::Volume(volume.clone()))?;
        let host_path = match self.sub_path(mount)? {
            Some(sub_path) => self
                .sub_paths
                .prepare((volume, path), &sub_path, (&self.container.name, number), self.links_files)
                .map_err(|source| MountError::SubPath { volume: volume.clone(), source })?,
            None => path.clone(),
        };
        let read_only = mount.read_only == Some(true) || self.volumes.read_only.contains(volume);
        let options = MountOptions {
            recursive_read_only: recursive::is_wanted(mount)
                .ok_or_else(|| MountError::RecursiveReadOnly(volume.clone()))?,
            propagation: match mount.mount_propagation.as_deref() {
                Some("Bidirectional") => Propagation::Both,
                Some("HostToContainer") => Propagation::FromNode,
                _ => Propagation::Private,
            },
            no_exec: self.volumes.no_exec.contains(volume),
        };
        Ok(Mount { host_path, container_path: mount.mount_path.clone(), read_only, options })
    }

    fn sub_path(&self, mount: &VolumeMount) -> Result<Option<String>, MountError> {
        let Some(expression) = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(mount.sub_path.clone().filter(|path| !path.is_empty()));
        };
        let expanded = expand_known(expression, |name| self.env.get(name));
        expanded.map(Some).map_err(|name| MountError::Variable {
            volume: mount.name.clone(),
            expression: expression.to_owned(),
            name,
        })
    }
}
