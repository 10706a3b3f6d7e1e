//! What the machine as a whole uses, from the kernel's own files.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};
use wherry_runtime_api::Usage;

use crate::registration::meminfo;

/// How the kernel counts processor time in `/proc/stat`: in hundredths of a second, on every machine.
const NANOS_PER_TICK: u64 = 10_000_000;
/// Of the counts of `/proc/stat`, those in which nothing was computed: idle and waiting for input.
const IDLE: [usize; 2] = [3, 4];
/// The last two are part of the first two.
const COUNTED: usize = 8;

/// What went through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) received: Direction,
    pub(super) sent: Direction,
}

/// What went through an interface in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) errors: u64,
    pub(super) dropped: u64,
}

impl Traffic {
    /// As seen from the other end of the cable.
    pub(super) fn reversed(self) -> Self {
        Self { received: self.sent, sent: self.received }
    }
}

/// What the machine uses now.
pub(super) fn usage() -> Usage {
    let kernel = |name| meminfo(name).unwrap_or(0);
    let memory = kernel("MemTotal").saturating_sub(kernel("MemFree"));
    Usage {
        cpu_nanos: processor_time(&read("/proc/stat")),
        memory,
        working_set: memory.saturating_sub(kernel("Inactive(file)")),
        anonymous: kernel("AnonPages"),
        ..Usage::default()
    }
}

/// What this process uses.
pub(super) fn own_usage() -> Usage {
    let memory = resident(&read("/proc/self/status"));
    let cpu_nanos = own_time(&read("/proc/self/stat"));
    Usage { cpu_nanos, memory, working_set: memory, anonymous: memory, processes: 1, ..Usage::default() }
}

/// Of `/proc/PID/stat`: the time in the program and in the kernel, behind a name that may hold anything.
fn own_time(stat: &str) -> u64 {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * NANOS_PER_TICK
}

/// Of `/proc/PID/status`: what is in memory, in bytes.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// All interfaces of the node, by name.
pub(super) fn interfaces() -> HashMap<String, Traffic> {
    read("/proc/thread-self/net/dev").lines().filter_map(interface).collect()
}

/// What the file system of a path is on, as the kernel calls it: a device, or two numbers for one that is on none.
pub(super) fn device_of(path: &Path) -> String {
    let Ok(meta) = fs::metadata(path) else { return String::new() };
    let numbers = format!("{}:{}", major(meta.dev()), minor(meta.dev()));
    let link = fs::read_link(format!("/sys/dev/block/{numbers}"));
    let name = link.ok().and_then(|link| Some(format!("/dev/{}", link.file_name()?.to_str()?)));
    name.unwrap_or(numbers)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor_time(stat: &str) -> u64 {
    let counts = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let counts = counts.unwrap_or_default().split_whitespace().take(COUNTED).enumerate();
    let busy = counts.filter(|(index, _)| !IDLE.contains(index));
    busy.filter_map(|(_, count)| count.parse::<u64>().ok()).sum::<u64>() * NANOS_PER_TICK
}

/// A line of `/proc/net/dev`: eight counts of what was received, eight of what was sent.
fn interface(line: &str) -> Option<(String, Traffic)> {
    let (name, counts) = line.split_once(':')?;
    let counts: Vec<u64> = counts.split_whitespace().map_while(|count| count.parse().ok()).collect();
    let direction = |from: usize| {
        let counts = counts.get(from..from + 4)?;
        Some(Direction { bytes: counts[0], packets: counts[1], errors: counts[2], dropped: counts[3] })
    };
    Some((name.trim().to_owned(), Traffic { received: direction(0)?, sent: direction(8)? }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_counts_are_read() {
        assert_eq!(processor_time("cpu  1 2 3 400 500 6 7 8 9 10\ncpu0 1 1 1\n"), 27 * NANOS_PER_TICK);
        let line = "  eth0: 100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16";
        let (name, traffic) = interface(line).unwrap();
        let sent = Direction { bytes: 900, packets: 10, errors: 11, dropped: 12 };
        assert_eq!((name.as_str(), traffic.sent, traffic.reversed().received), ("eth0", sent, sent));
        assert_eq!(own_time("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 5"), 42 * NANOS_PER_TICK);
        assert_eq!(resident("Name:\ta\nVmRSS:\t    12 kB\n"), 12 * 1024);
        assert!(own_usage().memory > 0);
        assert!(usage().working_set > 0 && interfaces().contains_key("lo"));
    }

    #[test]
    fn a_file_system_is_on_something() {
        let device = device_of(Path::new("/proc"));
        assert!(device.contains(':') && device_of(Path::new("/none")).is_empty(), "{device}");
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in "[a-z0-9: ]{0,60}") {
            let _ = (interface(&line), processor_time(&line), own_time(&line), resident(&line));
        }
    }
}
