//! What Pods must not leave behind when they are gone: cgroups with their processes, mounts, links, files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long Pods that were deleted may take to go.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where Pods have files, below the data directory.
const PLACES: [&str; 6] = [
    "node/pods",
    "node/logs/pods",
    "node/oci/containers",
    "node/oci/sandboxes",
    "node/oci/runtime",
    "node/network/netns",
];

/// Where the Pods of one cluster leave traces.
pub(crate) struct Traces {
    group: String,
    data: PathBuf,
}

impl Traces {
    /// Those of the cluster in this directory, whose name no other cluster's has.
    pub(crate) fn of(dir: &Path) -> Self {
        let name = dir.file_name().expect("a cluster's directory has a name").to_string_lossy();
        Self { group: format!("/wherry-test-{name}"), data: dir.join("data") }
    }

    /// The cgroup that all of its Pods are below.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// What is left once all is gone, which is nothing, or after a while.
    pub(crate) fn once_gone(&self) -> Vec<String> {
        let look = || Some(self.left()).filter(|left| !left.is_empty()).map_or(Ok(()), Err);
        wait::within(PATIENCE, look).err().unwrap_or_default()
    }

    /// What is there of Pods.
    pub(crate) fn left(&self) -> Vec<String> {
        let of_pod = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("pod") || name.starts_with("shim_")
        };
        let groups = self.groups().into_iter().filter(of_pod).map(|path| path.display().to_string());
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let data = self.data.join("node");
        let below = |line: &&str| {
            line.split(' ').nth(4).is_some_and(|place| {
                let place = Path::new(place);
                place.starts_with(&data) && place != data
            })
        };
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        let names = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
        let of_pods = names.filter(|name| name.starts_with("wh") && !name.starts_with("wherry"));
        let files = PLACES.iter().flat_map(|place| entries(&self.data.join(place)));
        groups
            .chain(mounts.lines().filter(below).map(str::to_owned))
            .chain(of_pods.map(|name| format!("link {name}")))
            .chain(files.map(|path| path.display().to_string()))
            .collect()
    }

    /// Ends what runs and removes the cgroups, whatever state they are in.
    pub(crate) fn erase(&self) {
        let remove = || {
            let groups = self.groups();
            for group in &groups {
                let ids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                for id in ids.lines().filter_map(|line| line.parse().ok()) {
                    // One that has ended takes no signal.
                    let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
                }
                // One that has processes yet is removed the next time.
                let _ = fs::remove_dir(group);
            }
            if groups.is_empty() { Ok(()) } else { Err(groups) }
        };
        if let Err(groups) = wait::within(PATIENCE, remove) {
            assert!(std::thread::panicking(), "these cgroups cannot be removed: {groups:?}");
        }
    }

    /// All cgroups of the cluster in all hierarchies, deepest first.
    fn groups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies =
            if root.join("cgroup.controllers").exists() { vec![root.to_owned()] } else { entries(root) };
        let mut found: Vec<PathBuf> =
            hierarchies.iter().map(|root| root.join(&self.group[1..])).filter(|path| path.is_dir()).collect();
        let mut next = 0;
        while next < found.len() {
            found.extend(entries(&found[next]).into_iter().filter(|path| path.is_dir()));
            next += 1;
        }
        found.reverse();
        found
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
