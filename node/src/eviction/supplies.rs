//! What there is of everything that may become short, and how much of it is free.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::statvfs;

use super::thresholds::{Signal, Supply};
use crate::registration::meminfo;

/// What there is by signal.
pub(crate) type Supplies = BTreeMap<Signal, Supply>;

/// Looks at the machine and the file system of the node's data; what cannot be found out is not there.
pub(crate) fn observe(data_dir: &Path) -> Supplies {
    let disk = statvfs(data_dir).ok();
    let bytes =
        disk.as_ref().map(|fs| Supply { free: fs.f_bavail * fs.f_frsize, all: fs.f_blocks * fs.f_frsize });
    let inodes = disk.as_ref().map(|fs| Supply { free: fs.f_favail, all: fs.f_files });
    let memory = meminfo("MemAvailable").zip(meminfo("MemTotal")).map(|(free, all)| Supply { free, all });
    let all = [
        (Signal::MemoryAvailable, memory),
        (Signal::NodefsAvailable, bytes),
        (Signal::NodefsInodesFree, inodes),
        (Signal::ImagefsAvailable, bytes),
        (Signal::ImagefsInodesFree, inodes),
        (Signal::PidAvailable, process_ids()),
    ];
    all.into_iter().filter_map(|(signal, supply)| Some((signal, supply?))).collect()
}

fn process_ids() -> Option<Supply> {
    let all = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()?;
    let used = threads(&std::fs::read_to_string("/proc/loadavg").ok()?)?;
    Some(Supply { free: u64::saturating_sub(all, used), all })
}

/// The number of threads in `/proc/loadavg`: the second of `1/234`.
fn threads(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_parsed() {
        assert_eq!(threads("0.29 0.14 0.24 1/234 5678"), Some(234));
        assert_eq!(threads("0.29"), None);
    }

    #[test]
    fn this_machine_has_something_of_everything() {
        let supplies = observe(Path::new("/"));
        for signal in [Signal::MemoryAvailable, Signal::ImagefsAvailable, Signal::PidAvailable] {
            let supply = supplies[&signal];
            assert!(supply.free > 0 && supply.free <= supply.all, "{signal}: {supply:?}");
        }
    }
}
