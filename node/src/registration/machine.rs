//! What this machine is and has.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::statvfs;

/// Memory kept from pods for the system and the agent.
const RESERVED_MEMORY: u64 = 100 << 20;
/// Below this much available memory the node is short of it, as kubelet's default says.
const LOW_MEMORY: u64 = 100 << 20;
/// Below this share of free space or inodes a small disk is short of them.
const LOW_DISK_PERCENT: u64 = 5;
/// This much free space is enough on any disk: a share alone would call a large one full while gigabytes are free.
const ENOUGH_DISK: u64 = 512 << 20;
/// This many free inodes are enough on any disk.
const ENOUGH_INODES: u64 = 20_000;
/// Below this share of free process ids the node is short of them.
const LOW_PIDS_PERCENT: u64 = 5;

/// What does not change while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) cpus: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes of the file system that holds the agent's data.
    pub(crate) storage: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// The operating system's name for people.
    pub(crate) os_image: String,
    /// Identifies the machine.
    pub(crate) id: String,
    /// Identifies its firmware's machine.
    pub(crate) system_uuid: String,
    /// Identifies the boot.
    pub(crate) boot_id: String,
}

/// What may be short at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Memory.
    pub(crate) memory: bool,
    /// Disk.
    pub(crate) disk: bool,
    /// Process ids.
    pub(crate) pids: bool,
}

impl Machine {
    /// Looks at the machine; what cannot be found out is empty or zero.
    pub(crate) fn observe(data_dir: &Path) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let storage = statvfs(data_dir).map_or(0, |fs| fs.f_blocks * fs.f_frsize);
        let text = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            cpus,
            memory: meminfo("MemTotal").unwrap_or(0),
            storage,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            os_image: os_image(&text("/etc/os-release")),
            id: text("/etc/machine-id"),
            system_uuid: text("/sys/class/dmi/id/product_uuid"),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
        }
    }

    /// What the machine has, by resource.
    pub(crate) fn capacity(&self, max_pods: u32) -> BTreeMap<String, String> {
        self.resources(self.memory, self.storage, max_pods)
    }

    /// What of it pods may use.
    pub(crate) fn allocatable(&self, max_pods: u32) -> BTreeMap<String, String> {
        self.resources(self.memory.saturating_sub(RESERVED_MEMORY), self.storage / 10 * 9, max_pods)
    }

    fn resources(&self, memory: u64, storage: u64, max_pods: u32) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("cpu", self.cpus.to_string()),
                ("memory", format!("{}Ki", memory / 1024)),
                ("ephemeral-storage", format!("{}Ki", storage / 1024)),
                ("pods", max_pods.to_string()),
                ("hugepages-1Gi", "0".to_owned()),
                ("hugepages-2Mi", "0".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    }
}

/// Looks at what may be short.
pub(crate) fn pressure(data_dir: &Path) -> Pressure {
    let disk = statvfs(data_dir).is_ok_and(|fs| {
        short(fs.f_bavail * fs.f_frsize, fs.f_blocks * fs.f_frsize, ENOUGH_DISK)
            || short(fs.f_favail, fs.f_files, ENOUGH_INODES)
    });
    let number = |path| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let used = std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| threads(&text));
    let pids = match (number("/proc/sys/kernel/pid_max"), used) {
        (Some(max), Some(used)) => max.saturating_sub(used) < max / 100 * LOW_PIDS_PERCENT,
        _ => false,
    };
    let memory = meminfo("MemAvailable").is_some_and(|available| available < LOW_MEMORY);
    Pressure { memory, disk, pids }
}

/// Whether too little of a disk is free; a file system that counts nothing is never short of it.
fn short(free: u64, all: u64, enough: u64) -> bool {
    free < (all / 100 * LOW_DISK_PERCENT).min(enough)
}

/// The number of threads in `/proc/loadavg`: the second of `1/234`.
fn threads(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed() {
        assert_eq!(threads("0.29 0.14 0.24 1/234 5678"), Some(234));
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
        assert_eq!(os_image(""), "Linux");
    }

    #[test]
    fn a_disk_is_short_by_its_share_or_by_bytes_whichever_is_less() {
        let gib = 1 << 30;
        assert!(!short(gib, 256 * gib, ENOUGH_DISK), "0.4 % of a large disk is enough for pods");
        assert!(short(gib / 4, 256 * gib, ENOUGH_DISK));
        assert!(!short(gib / 4, 4 * gib, ENOUGH_DISK), "6 % of a small disk");
        assert!(short(gib / 8, 4 * gib, ENOUGH_DISK), "3 % of a small disk");
        assert!(!short(0, 0, ENOUGH_INODES), "a file system without a count");
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::observe(Path::new("/"));
        assert!(machine.cpus > 0 && machine.memory > 0 && machine.storage > 0 && !machine.kernel.is_empty());
        let allocatable = machine.allocatable(500);
        assert_eq!(allocatable["pods"], "500");
        assert_ne!(allocatable["memory"], machine.capacity(500)["memory"]);
    }
}
