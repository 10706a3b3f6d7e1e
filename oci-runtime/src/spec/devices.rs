//! The devices of the node, which a privileged container has in its own `/dev`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};

/// What of `/dev` is the container's own, whatever the node has: the names are those containerd leaves out.
const OWN: [&str; 10] =
    ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "ptmx", "core"];
const PERMISSIONS: u32 = 0o7777;

/// The devices in the directory and below it; what vanishes or cannot be read meanwhile is left out.
pub(crate) fn list(directory: &Path) -> Vec<LinuxDevice> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_own = OWN.iter().any(|own| name == *own);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_own => directories.push(path),
                Ok(kind) if (kind.is_char_device() || kind.is_block_device()) && !is_own => {
                    found.extend(device(&path));
                }
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| a.path().cmp(b.path()));
    found
}

fn device(path: &Path) -> Option<LinuxDevice> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let kind = if metadata.file_type().is_block_device() { LinuxDeviceType::B } else { LinuxDeviceType::C };
    let number = |part: u32| i64::from(part);
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind)
        .major(number(rustix::fs::major(metadata.rdev())))
        .minor(number(rustix::fs::minor(metadata.rdev())))
        .file_mode(metadata.mode() & PERMISSIONS)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_devices_are_found_and_links_are_not() {
        let devices = list(Path::new("/dev"));
        let null = devices.iter().find(|device| device.path() == Path::new("/dev/null")).unwrap();
        assert_eq!((null.typ(), null.major(), null.minor()), (LinuxDeviceType::C, 1, 3));
        assert_eq!(null.file_mode(), Some(0o666));
        assert!(devices.iter().all(|device| device.path() != Path::new("/dev/ptmx")));
        assert!(list(Path::new("/no/such/directory")).is_empty());
    }
}
