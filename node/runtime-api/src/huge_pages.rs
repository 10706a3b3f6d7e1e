//! Huge pages: memory in pages of other sizes than the usual one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the kernel tells which sizes it knows, and how many pages it has of each.
pub const KERNEL: &str = "/sys/kernel/mm/hugepages";

/// Bytes of memory, by the size of its pages in bytes.
pub type HugePages = BTreeMap<u64, u64>;

/// What the kernel has, as it tells in `directory`: all sizes it knows, also those it has nothing of.
pub fn of_kernel(directory: &Path) -> HugePages {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let kibibytes = entry.file_name();
            let kibibytes = kibibytes.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
            let size = kibibytes.parse::<u64>().ok()?.checked_mul(1024)?;
            let count: u64 =
                fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
            Some((size, count.checked_mul(size)?))
        })
        .collect()
}

/// A size of pages as control groups name it: `64KB`, `2MB`, `1GB`.
pub fn name(size: u64) -> String {
    let units = [(30, "GB"), (20, "MB")];
    let (shift, unit) = units.into_iter().find(|(shift, _)| size >> shift > 0).unwrap_or((10, "KB"));
    format!("{}{unit}", size >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_directories_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, count) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "0\n"), ("other", "7\n")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("nr_hugepages"), count).unwrap();
        }
        assert_eq!(of_kernel(dir.path()), HugePages::from([(2 << 20, 6 << 20), (1 << 30, 0)]));
        assert_eq!(of_kernel(&dir.path().join("none")), HugePages::new());
    }

    #[test]
    fn sizes_are_named_as_by_the_kernel() {
        assert_eq!([64 << 10, 2 << 20, 32 << 20, 1 << 30].map(name), ["64KB", "2MB", "32MB", "1GB"]);
    }
}
