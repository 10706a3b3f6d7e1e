//! PersistentVolumes that a node can mount: paths and directories of its own.

use std::path::Path;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec, Pod, Volume};

use super::atomic::GroupChange;
use super::local::LocalVolumes;
use super::{Made, VolumeError, atomic, devices, host_path};

/// The claim behind a volume of a pod.
pub(super) struct Claim {
    /// Its name.
    pub(super) name: String,
    /// Whether it was made for the pod.
    pub(super) is_ephemeral: bool,
    /// Whether it is only to be read.
    pub(super) read_only: bool,
}

/// The claim behind a volume of the pod.
pub(super) fn claim(pod: &Pod, volume: &Volume) -> Option<Claim> {
    if let Some(source) = &volume.persistent_volume_claim {
        let read_only = source.read_only == Some(true);
        return Some(Claim { name: source.claim_name.clone(), is_ephemeral: false, read_only });
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some(Claim { name: format!("{pod}-{}", volume.name), is_ephemeral: true, read_only: false })
}

/// Where the volume is on this node; its files are given to `group`, if there is one.
pub(super) fn mount(
    volume: &PersistentVolume,
    local: &LocalVolumes,
    (group, when): (Option<u32>, GroupChange),
) -> Result<Made, VolumeError> {
    let unsupported = |what| Err(VolumeError::Unsupported { what });
    let Some(spec) = &volume.spec else { return unsupported("an empty PersistentVolume") };
    let is_block = spec.volume_mode.as_deref() == Some("Block");
    if let Some(source) = spec.host_path.as_ref().filter(|_| !is_block) {
        let kind = source.type_.as_deref().unwrap_or_default();
        return host_path::check(Path::new(&source.path), kind).map(Made::writable);
    }
    let Some(source) = &spec.local else { return unsupported(kind_of(spec)) };
    let path = Path::new(&source.path);
    if local.is_one(volume) {
        local.make(volume)?;
    }
    if !path.exists() {
        return Err(VolumeError::LocalPath(path.to_owned()));
    }
    if is_block {
        return Ok(Made { is_block, ..Made::writable(devices::check(path)?) });
    }
    atomic::own_all(path, group, when)?;
    Ok(Made::writable(path.to_owned()))
}

fn kind_of(spec: &PersistentVolumeSpec) -> &'static str {
    match spec {
        PersistentVolumeSpec { nfs: Some(_), .. } => "an nfs PersistentVolume",
        _ => "this kind of PersistentVolume",
    }
}
