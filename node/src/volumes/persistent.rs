//! PersistentVolumes that a node can mount: paths and directories of its own.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec, Pod, Volume};

use super::local::LocalVolumes;
use super::{VolumeError, atomic, host_path};
/// The claim behind a volume of the pod, by name; whether it was made for the pod; whether it is only to be read.
pub(super) fn claim(pod: &Pod, volume: &Volume) -> Option<(String, bool, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), false, source.read_only == Some(true)));
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some((format!("{pod}-{}", volume.name), true, false))
}

/// Where the volume is on this node; its files belong to `group`, if given.
pub(super) fn mount(
    volume: &PersistentVolume,
    local: &LocalVolumes,
    group: Option<u32>,
) -> Result<PathBuf, VolumeError> {
    let unsupported = |what| Err(VolumeError::Unsupported { what });
    let Some(spec) = &volume.spec else { return unsupported("an empty PersistentVolume") };
    if spec.volume_mode.as_deref() == Some("Block") {
        return unsupported("a PersistentVolume of volumeMode Block");
    }
    if let Some(source) = &spec.host_path {
        return host_path::check(Path::new(&source.path), source.type_.as_deref().unwrap_or_default());
    }
    let Some(source) = &spec.local else { return unsupported(kind_of(spec)) };
    let path = Path::new(&source.path);
    if local.is_one(volume) {
        local.make(volume)?;
    }
    if !path.exists() {
        return Err(VolumeError::LocalPath(path.to_owned()));
    }
    atomic::own_all(path, group)?;
    Ok(path.to_owned())
}

fn kind_of(spec: &PersistentVolumeSpec) -> &'static str {
    match spec {
        PersistentVolumeSpec { csi: Some(_), .. } => "a csi PersistentVolume",
        PersistentVolumeSpec { nfs: Some(_), .. } => "an nfs PersistentVolume",
        _ => "this kind of PersistentVolume",
    }
}
