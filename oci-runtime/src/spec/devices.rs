//! The devices of the node: a privileged container has all of them in its own `/dev`, others those they ask for.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};
use wherry_runtime_api::Device;

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

/// Says which of the devices asked for is none.
pub(super) fn check(asked: &[Device]) -> Result<(), String> {
    let Some(wrong) = asked.iter().find(|one| of_node(one).is_none()) else { return Ok(()) };
    Err(format!("{} is not a device of this node", wrong.host_path.display()))
}

/// The node's devices a container has anyway, and those it asks for; `None` if there are none.
pub(super) fn with(mut has: Vec<LinuxDevice>, asked: &[Device]) -> Option<Vec<LinuxDevice>> {
    for device in asked.iter().filter_map(of_node) {
        has.retain(|other| other.path() != device.path());
        has.push(device);
    }
    (!has.is_empty()).then_some(has)
}

/// What lets a container use a device it asks for.
pub(super) fn rule(asked: &Device) -> Option<Result<LinuxDeviceCgroup, OciSpecError>> {
    let device = of_node(asked)?;
    let rule = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(device.typ())
        .major(device.major())
        .minor(device.minor())
        .access(asked.permissions.as_str());
    Some(rule.build())
}

/// The device asked for, where the container is to have it.
fn of_node(asked: &Device) -> Option<LinuxDevice> {
    // It may be asked for by a link.
    let path = fs::canonicalize(&asked.host_path).ok()?;
    let mut device = device(&path)?;
    device.set_path(asked.container_path.as_str().into());
    Some(device)
}

fn device(path: &Path) -> Option<LinuxDevice> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => LinuxDeviceType::B,
        kind if kind.is_char_device() => LinuxDeviceType::C,
        _ => return None,
    };
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

    #[test]
    fn a_device_that_is_asked_for_is_made_and_allowed() {
        let asked = |host_path: &str| Device {
            host_path: host_path.into(),
            container_path: "/dev/mine".to_owned(),
            permissions: "rw".to_owned(),
        };
        let made = with(Vec::new(), &[asked("/dev/zero")]).unwrap();
        assert_eq!((made[0].path().as_path(), made[0].minor()), (Path::new("/dev/mine"), 5));
        let rule = rule(&asked("/dev/zero")).unwrap().unwrap();
        assert!(rule.allow() && rule.major() == Some(1) && rule.access().as_deref() == Some("rw"));
        let wrong = check(&[asked("/etc/passwd")]).unwrap_err();
        assert_eq!(wrong, "/etc/passwd is not a device of this node");
    }
}
