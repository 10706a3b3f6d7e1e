//! Control groups through their files, version 1 (one hierarchy per controller) and version 2.
//!
//! The OCI runtime makes the container's own group; this module makes what is above and beside it (the pod's
//! group with its limits, the shim's group), counts out-of-memory kills, kills what is left and removes groups.
//! A version 1 group is a directory of the same relative path in several hierarchies.

mod usage;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use wherry_runtime_api::{Resources, RuntimeError};

use crate::files::failed;

const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// The file of version 1 that holds the microseconds of a processor in each period.
const QUOTA: &str = "cpu.cfs_quota_us";
/// How long a killed process may take to end; only one stuck in the kernel takes longer.
const KILL_SECONDS: i64 = 10;
pub(crate) const CPU_PERIOD_MICROS: u64 = 100_000;

/// The machine's cgroup file systems.
#[derive(Clone, Debug)]
pub(crate) enum Cgroups {
    /// One directory per hierarchy, named by controller (`memory`, `pids`, `systemd`); a version 2 hierarchy
    /// without controllers (`unified`) may be among them.
    V1(Vec<PathBuf>),
    /// The one hierarchy.
    V2(PathBuf),
}

/// The `cpu.shares` of a request in thousandths of a core.
pub(crate) fn shares(millis: u64) -> u64 {
    (millis * 1024 / 1000).max(2)
}

/// The quota in microseconds per 100 ms of a limit in thousandths of a core; the kernel takes no less than 1 ms.
pub(crate) fn quota(millis: u64) -> u64 {
    (millis * CPU_PERIOD_MICROS / 1000).max(1000)
}

impl Cgroups {
    /// Finds what is mounted; an error says what is missing.
    pub(crate) fn detect() -> Result<Self, String> {
        let root = Path::new(MOUNT_POINT);
        if root.join("cgroup.controllers").exists() {
            return Ok(Self::V2(root.to_path_buf()));
        }
        let entries = fs::read_dir(root).map_err(|error| format!("cannot read {MOUNT_POINT}: {error}"))?;
        let mut hierarchies: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok()?.path().canonicalize().ok())
            .filter(|path| path.join("cgroup.procs").exists())
            .collect();
        hierarchies.sort();
        hierarchies.dedup();
        if hierarchies.is_empty() {
            return Err(format!("no cgroup file system is mounted at {MOUNT_POINT}"));
        }
        Ok(Self::V1(hierarchies))
    }

    /// Creates the group `path` with `limits`, or changes them.
    pub(crate) fn ensure(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        match self {
            Self::V1(_) => self.ensure_v1(path, limits),
            Self::V2(root) => ensure_v2(root, path, limits),
        }
    }

    /// Changes the limits of a group that has processes. Less memory than they need is refused: of version 1 the kernel does
    /// that, of version 2 it would end them.
    pub(crate) fn update(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        if let (Self::V2(root), Some(limit)) = (self, limits.memory_limit_bytes)
            && let Some(needed) = working_set(&below(root, path)).filter(|needed| *needed > limit)
        {
            let reason = format!("its processes need {needed} bytes");
            return Err(RuntimeError::Failed {
                step: format!("limiting the memory to {limit} bytes"),
                reason,
            });
        }
        self.ensure(path, limits)
    }

    /// Moves this process into a group of its own, out of the limits and the reach of its parent's.
    pub(crate) fn join(&self, path: &str) -> Result<(), RuntimeError> {
        for hierarchy in self.own_hierarchies() {
            let directory = below(&hierarchy, path);
            fs::create_dir_all(&directory).map_err(failed("create cgroup", &directory))?;
        }
        self.enter(path)
    }

    /// Moves this process into a group that exists.
    pub(crate) fn enter(&self, path: &str) -> Result<(), RuntimeError> {
        let mut hierarchies = self.own_hierarchies().into_iter();
        hierarchies.try_for_each(|hierarchy| write(&below(&hierarchy, path), "cgroup.procs", "0"))
    }

    /// Kills every process in the group and in those below it, and waits until they are gone.
    pub(crate) fn kill(&self, path: &str) -> Result<(), RuntimeError> {
        for hierarchy in self.own_hierarchies() {
            let directory = below(&hierarchy, path);
            while let Some(processes) = open_processes(&directory).map_err(failed("read", &directory))? {
                kill_all(&processes).map_err(failed("kill the processes of cgroup", &directory))?;
            }
        }
        Ok(())
    }

    /// Whether anything runs in the group or in those below it.
    pub(crate) fn has_processes(&self, path: &str) -> bool {
        let mut hierarchies = self.own_hierarchies().into_iter();
        hierarchies.any(|hierarchy| process_ids(&below(&hierarchy, path)).is_ok_and(|ids| !ids.is_empty()))
    }

    /// Removes the group and those below it; what is absent is fine.
    pub(crate) fn remove(&self, path: &str) -> Result<(), RuntimeError> {
        for hierarchy in self.all() {
            let directory = below(hierarchy, path);
            remove_tree(&directory).map_err(failed("remove cgroup", &directory))?;
        }
        Ok(())
    }

    /// How many processes of the group the kernel killed for want of memory.
    pub(crate) fn oom_kills(&self, path: &str) -> u64 {
        let file = match self {
            Self::V1(hierarchies) => match find(hierarchies, "memory") {
                Some(memory) => below(memory, path).join("memory.oom_control"),
                None => return 0,
            },
            Self::V2(root) => below(root, path).join("memory.events"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    fn all(&self) -> &[PathBuf] {
        match self {
            Self::V1(hierarchies) => hierarchies,
            Self::V2(root) => std::slice::from_ref(root),
        }
    }

    /// The hierarchies a shim joins: enough to be outside the agent's limits and its service manager's reach.
    fn own_hierarchies(&self) -> Vec<PathBuf> {
        match self {
            Self::V1(hierarchies) => ["memory", "pids", "systemd"]
                .iter()
                .filter_map(|name| find(hierarchies, name).cloned())
                .collect(),
            Self::V2(root) => vec![root.clone()],
        }
    }

    fn ensure_v1(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        let period = CPU_PERIOD_MICROS.to_string();
        let unlimited = || "-1".to_owned();
        let files = [
            ("cpu", "cpu.shares", shares(limits.cpu_request_millis.unwrap_or(0)).to_string()),
            ("cpu", "cpu.cfs_period_us", period),
            ("cpu", QUOTA, limits.cpu_limit_millis.map_or_else(unlimited, |m| quota(m).to_string())),
            (
                "memory",
                "memory.limit_in_bytes",
                limits.memory_limit_bytes.map_or_else(unlimited, |b| b.to_string()),
            ),
            ("pids", "pids.max", limits.pids_limit.map_or("max".to_owned(), |n| n.to_string())),
        ];
        for (controller, file, value) in files {
            let Some(hierarchy) = find(self.all(), controller) else { continue };
            let directory = below(hierarchy, path);
            fs::create_dir_all(&directory).map_err(failed("create cgroup", &directory))?;
            let written = write(&directory, file, &value);
            if file == QUOTA && written.is_err() {
                lift_quotas(&directory);
                write(&directory, file, &value)?;
            } else {
                written?;
            }
        }
        Ok(())
    }
}

/// Lifts the quotas of groups in which nothing runs any more: the kernel gives no group less than those below it have.
fn lift_quotas(directory: &Path) {
    for group in tree(directory).unwrap_or_default() {
        if group != directory && process_ids(&group).is_ok_and(|ids| ids.is_empty()) {
            // One that is being removed has no more say.
            write(&group, QUOTA, "-1").ok();
        }
    }
}

/// The memory that cannot be taken from the group's processes: without files they have not looked at for a while.
fn working_set(directory: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let inactive =
        read("memory.stat")?.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
    Some(used.saturating_sub(inactive.unwrap_or(0)))
}

fn ensure_v2(root: &Path, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
    let directory = below(root, path);
    fs::create_dir_all(&directory).map_err(failed("create cgroup", &directory))?;
    let below_root = directory.strip_prefix(root).unwrap_or(&directory);
    for ancestor in below_root.ancestors().skip(1) {
        // A controller the kernel lacks, or a root that holds processes, shows when its limit is written below.
        for controller in ["+cpu", "+memory", "+pids"] {
            write(&root.join(ancestor), "cgroup.subtree_control", controller).ok();
        }
    }
    let weight = 1 + (shares(limits.cpu_request_millis.unwrap_or(0)).clamp(2, 262_144) - 2) * 9999 / 262_142;
    let max = || "max".to_owned();
    let quota = limits.cpu_limit_millis.map_or_else(max, |m| quota(m).to_string());
    let memory = limits.memory_limit_bytes.map_or_else(max, |b| b.to_string());
    let files = [
        ("cpu.weight", weight.to_string(), limits.cpu_request_millis.is_some()),
        ("cpu.max", format!("{quota} {CPU_PERIOD_MICROS}"), limits.cpu_limit_millis.is_some()),
        ("memory.max", memory, limits.memory_limit_bytes.is_some()),
        ("pids.max", limits.pids_limit.map_or_else(max, |n| n.to_string()), limits.pids_limit.is_some()),
    ];
    for (file, value, limited) in files {
        if limited || directory.join(file).exists() {
            write(&directory, file, &value)?;
        }
    }
    Ok(())
}

fn find<'a>(hierarchies: &'a [PathBuf], controller: &str) -> Option<&'a PathBuf> {
    hierarchies.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split(',').any(|part| part == controller)
    })
}

/// The directory of a group, whose path is absolute within the hierarchy.
fn below(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

fn write(directory: &Path, file: &str, value: &str) -> Result<(), RuntimeError> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(failed("write", &path))
}

/// The directory and those below it, deepest first; none if it does not exist.
fn tree(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![directory.to_path_buf()];
    let mut next = 0;
    while next < found.len() {
        match fs::read_dir(&found[next]) {
            Ok(entries) => {
                let directories = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
                found.extend(directories.map(|entry| entry.path()));
                next += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(found.remove(next)),
            Err(error) => return Err(error),
        }
    }
    found.reverse();
    Ok(found)
}

fn process_ids(directory: &Path) -> io::Result<Vec<i32>> {
    let mut ids = Vec::new();
    for directory in tree(directory)? {
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        ids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|id| *id > 0));
    }
    Ok(ids)
}

/// Handles on the processes of a group, `None` if there are none.
///
/// An id is only trusted if it is still listed once its handle is open: then the handle is the process listed.
fn open_processes(directory: &Path) -> io::Result<Option<Vec<OwnedFd>>> {
    let ids = process_ids(directory)?;
    let open = |id: &i32| Some((*id, pidfd_open(Pid::from_raw(*id)?, PidfdFlags::empty()).ok()?));
    let handles: Vec<(i32, OwnedFd)> = ids.iter().filter_map(open).collect();
    let still = process_ids(directory)?;
    if still.is_empty() {
        return Ok(None);
    }
    Ok(Some(handles.into_iter().filter(|(id, _)| still.contains(id)).map(|(_, handle)| handle).collect()))
}

fn kill_all(processes: &[OwnedFd]) -> io::Result<()> {
    for process in processes {
        // It may have ended by itself, which is what is wanted.
        pidfd_send_signal(process, Signal::KILL).ok();
    }
    for process in processes {
        let mut wait = [PollFd::new(process, PollFlags::IN)];
        if poll(&mut wait, Some(&Timespec { tv_sec: KILL_SECONDS, tv_nsec: 0 }))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a killed process does not end"));
        }
    }
    Ok(())
}

/// Removes the directories of a group. A process that just ended may hold its group for a moment longer: the
/// kernel lets go of it by itself, and the caller comes again.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for directory in tree(directory)? {
        match fs::remove_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Resources = Resources {
        cpu_request_millis: Some(250),
        cpu_limit_millis: Some(1500),
        memory_limit_bytes: Some(1 << 20),
        pids_limit: Some(7),
    };

    /// Plain directories and files take what the kernel's would be given.
    fn written(root: &Path, files: &[&str]) -> Vec<String> {
        files.iter().map(|file| fs::read_to_string(root.join(file)).unwrap()).collect()
    }

    #[test]
    fn version_1_writes_each_limit_to_its_hierarchy() {
        let dir = tempfile::tempdir().unwrap();
        let hierarchies = ["cpu,cpuacct", "memory", "pids"].map(|name| dir.path().join(name));
        let cgroups = Cgroups::V1(hierarchies.to_vec());
        let files = [
            "cpu,cpuacct/w/pod/cpu.shares",
            "cpu,cpuacct/w/pod/cpu.cfs_quota_us",
            "memory/w/pod/memory.limit_in_bytes",
            "pids/w/pod/pids.max",
        ];
        cgroups.ensure("/w/pod", &LIMITS).unwrap();
        assert_eq!(written(dir.path(), &files), ["256", "150000", "1048576", "7"]);
        cgroups.ensure("/w/pod", &Resources::default()).unwrap();
        assert_eq!(written(dir.path(), &files), ["2", "-1", "-1", "max"]);
        fs::write(dir.path().join("memory/w/pod/memory.oom_control"), "under_oom 0\noom_kill 3\n").unwrap();
        assert_eq!((cgroups.oom_kills("/w/pod"), cgroups.oom_kills("/w")), (3, 0));
    }

    #[test]
    fn version_2_enables_the_controllers_above_and_writes_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::V2(dir.path().to_path_buf());
        cgroups.ensure("/w/pod", &LIMITS).unwrap();
        let files = ["cpu.weight", "cpu.max", "memory.max", "pids.max"].map(|file| format!("w/pod/{file}"));
        let files = files.each_ref().map(String::as_str);
        assert_eq!(written(dir.path(), &files), ["10", "150000 100000", "1048576", "7"]);
        assert_eq!(
            written(dir.path(), &["cgroup.subtree_control", "w/cgroup.subtree_control"]),
            ["+pids", "+pids"]
        );
        cgroups.ensure("/w/pod", &Resources::default()).unwrap();
        assert_eq!(written(dir.path(), &files), ["1", "max 100000", "max", "max"]);
        fs::write(dir.path().join("w/pod/memory.events"), "oom 1\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert_eq!(cgroups.oom_kills("/w/pod"), 2);
        fs::write(dir.path().join("w/pod/memory.current"), "3000000\n").unwrap();
        fs::write(dir.path().join("w/pod/memory.stat"), "anon 7\ninactive_file 1000000\n").unwrap();
        let refused = cgroups.update("/w/pod", &LIMITS).unwrap_err().to_string();
        assert_eq!(refused, "limiting the memory to 1048576 bytes failed: its processes need 2000000 bytes");
        fs::write(dir.path().join("w/pod/memory.stat"), "anon 7\ninactive_file 2000000\n").unwrap();
        cgroups.update("/w/pod", &LIMITS).unwrap();
        assert_eq!(written(dir.path(), &files), ["10", "150000 100000", "1048576", "7"]);
    }
}
