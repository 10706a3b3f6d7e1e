//! Volumes that are devices: what of them a container sees.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use wherry_runtime_api::Device;

use super::{VolumeError, Volumes};

/// The block device of the node at this path.
pub(super) fn check(path: &Path) -> Result<PathBuf, VolumeError> {
    let is_device = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device());
    if is_device { Ok(path.to_owned()) } else { Err(VolumeError::NoDevice(path.to_owned())) }
}

/// The devices that the container asks for.
pub(crate) fn devices(container: &Container, volumes: &Volumes) -> Result<Vec<Device>, VolumeError> {
    let asked = container.volume_devices.iter().flatten();
    asked
        .map(|device| {
            let path = volumes.devices.get(&device.name);
            let path =
                path.ok_or(VolumeError::Unsupported { what: "a volumeDevice that is no block volume" })?;
            let permissions = if volumes.read_only.contains(&device.name) { "r" } else { "rwm" };
            Ok(Device {
                host_path: check(path)?,
                container_path: device.device_path.clone(),
                permissions: permissions.to_owned(),
            })
        })
        .collect()
}
