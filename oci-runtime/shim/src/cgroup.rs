//! Control groups through their files, version 1 (one hierarchy per controller) and version 2: being in one, killing what is in
//! one, counting who was killed for want of memory.
//!
//! A version 1 group is a directory of the same relative path in several hierarchies.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::file_error::{FileError, failed};

const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// How long a killed process may take to end; only one stuck in the kernel takes longer.
const KILL_SECONDS: i64 = 10;

/// The machine's cgroup file systems.
#[derive(Clone, Debug)]
pub enum Cgroups {
    /// One directory per hierarchy, named by controller (`memory`, `pids`, `systemd`); a version 2 hierarchy
    /// without controllers (`unified`) may be among them.
    V1(Vec<PathBuf>),
    /// The one hierarchy.
    V2(PathBuf),
}

impl Cgroups {
    /// Finds what is mounted; an error says what is missing.
    pub fn detect() -> Result<Self, String> {
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

    /// Moves this process into a group of its own, out of the limits and the reach of its parent's.
    pub fn join(&self, path: &str) -> Result<(), FileError> {
        for hierarchy in self.own_hierarchies() {
            let directory = below(&hierarchy, path);
            fs::create_dir_all(&directory).map_err(failed("create cgroup", &directory))?;
        }
        self.enter(path)
    }

    /// Moves this process into a group that exists.
    pub fn enter(&self, path: &str) -> Result<(), FileError> {
        for hierarchy in self.own_hierarchies() {
            let file = below(&hierarchy, path).join("cgroup.procs");
            fs::write(&file, "0").map_err(failed("write", &file))?;
        }
        Ok(())
    }

    /// Kills every process in the group and in those below it, and waits until they are gone.
    pub fn kill(&self, path: &str) -> Result<(), FileError> {
        for hierarchy in self.own_hierarchies() {
            let directory = below(&hierarchy, path);
            while let Some(processes) = open_processes(&directory).map_err(failed("read", &directory))? {
                kill_all(&processes).map_err(failed("kill the processes of cgroup", &directory))?;
            }
        }
        Ok(())
    }

    /// Whether anything runs in the group or in those below it.
    pub fn has_processes(&self, path: &str) -> bool {
        let mut hierarchies = self.own_hierarchies().into_iter();
        hierarchies.any(|hierarchy| process_ids(&below(&hierarchy, path)).is_ok_and(|ids| !ids.is_empty()))
    }

    /// How many processes of the group the kernel killed for want of memory.
    pub fn oom_kills(&self, path: &str) -> u64 {
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

    /// All hierarchies.
    pub fn all(&self) -> &[PathBuf] {
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
}

/// The version 1 hierarchy of a controller.
pub fn find<'a>(hierarchies: &'a [PathBuf], controller: &str) -> Option<&'a PathBuf> {
    hierarchies.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split(',').any(|part| part == controller)
    })
}

/// The directory of a group, whose path is absolute within the hierarchy.
pub fn below(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

/// The directory of a group and those below it, deepest first; none if it does not exist.
pub fn tree(directory: &Path) -> io::Result<Vec<PathBuf>> {
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

/// The processes in the group of a directory and in those below it.
pub fn process_ids(directory: &Path) -> io::Result<Vec<i32>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_killed_for_want_of_memory_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        let first = Cgroups::V1(["cpu,cpuacct", "memory"].map(|name| dir.path().join(name)).to_vec());
        fs::write(place("memory/w/pod/memory.oom_control"), "under_oom 0\noom_kill 3\n").unwrap();
        assert_eq!((first.oom_kills("/w/pod"), first.oom_kills("/w")), (3, 0));
        let second = Cgroups::V2(dir.path().to_path_buf());
        fs::write(place("w/pod/memory.events"), "oom 1\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert_eq!((second.oom_kills("/w/pod"), second.oom_kills("/w")), (2, 0));
    }

    #[test]
    fn a_controller_is_found_among_those_of_its_hierarchy() {
        let all = ["/c/cpu,cpuacct", "/c/memory"].map(PathBuf::from);
        assert_eq!(find(&all, "cpuacct"), Some(&all[0]));
        assert_eq!(find(&all, "cpua"), None);
        assert_eq!(below(&all[1], "/w/pod"), Path::new("/c/memory/w/pod"));
    }
}
