//! What a container mounts of its pod's volumes.

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use wherry_runtime_api::Mount;

use super::Volumes;
use super::subpath::{self, SubPathError};
use crate::env::expand;

/// Why a mount cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The pod has no such volume.
    #[error("volumeMount names volume {0:?}, which the pod does not have")]
    Volume(String),
    /// The path within the volume cannot be used.
    #[error("cannot use volume {volume:?}")]
    SubPath {
        /// The volume.
        volume: String,
        /// The cause.
        source: SubPathError,
    },
}

/// The mounts of the container; `env` is for `subPathExpr`.
pub(crate) fn container_mounts(
    container: &Container,
    volumes: &Volumes,
    env: &[(String, String)],
) -> Result<Vec<Mount>, MountError> {
    container.volume_mounts.iter().flatten().map(|mount| one(mount, volumes, env)).collect()
}

fn one(mount: &VolumeMount, volumes: &Volumes, env: &[(String, String)]) -> Result<Mount, MountError> {
    let volume = volumes.paths.get(&mount.name).ok_or_else(|| MountError::Volume(mount.name.clone()))?;
    let lookup = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let expression = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty());
    let sub_path = match expression {
        Some(expression) => Some(expand(expression, lookup)),
        None => mount.sub_path.clone().filter(|path| !path.is_empty()),
    };
    let host_path = match sub_path {
        Some(sub_path) => subpath::prepare(volume, &sub_path)
            .map_err(|source| MountError::SubPath { volume: mount.name.clone(), source })?,
        None => volume.clone(),
    };
    Ok(Mount {
        host_path,
        container_path: mount.mount_path.clone(),
        read_only: mount.read_only == Some(true) || volumes.read_only.contains(&mount.name),
    })
}
