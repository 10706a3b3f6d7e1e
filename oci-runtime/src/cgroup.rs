//! The limits of control groups, through their files, version 1 (one hierarchy per controller) and version 2.
//!
//! The OCI runtime makes the container's own group, the shim its own; this module makes what is above them (the pod's
//! group with its limits), changes limits, and removes groups.

mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wherry_runtime_api::huge_pages::{self, HugePages};
use wherry_runtime_api::{CpuSet, Resources, RuntimeError};
use wherry_shim::cgroup::{Cgroups as Hierarchies, below, find, process_ids, tree};

use crate::files::{failed, io_error};

/// The file of version 1 that holds the microseconds of a processor in each period.
const QUOTA: &str = "cpu.cfs_quota_us";
/// The controller of huge pages.
const HUGE_PAGES: &str = "hugetlb";
pub(crate) const CPU_PERIOD_MICROS: u64 = 100_000;

/// The machine's cgroups.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups(Hierarchies);

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
        Hierarchies::detect().map(Self)
    }

    /// Creates the group `path` with `limits`, or changes them.
    pub(crate) fn ensure(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        match &self.0 {
            Hierarchies::V1(all) => ensure_v1(all, path, limits),
            Hierarchies::V2(root) => ensure_v2(root, path, limits),
        }
    }

    /// Changes the limits of a group that may have processes. Less memory than before and than they need is refused: of version 1
    /// the kernel does that, of version 2 it would end them.
    pub(crate) fn update(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        if let (Hierarchies::V2(root), Some(limit)) = (&self.0, limits.memory_limit_bytes)
            && memory_limit(&below(root, path)).is_none_or(|now| limit < now)
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

    /// Whether huge pages can be limited.
    pub(crate) fn limits_huge_pages(&self) -> bool {
        match &self.0 {
            Hierarchies::V1(all) => find(all, HUGE_PAGES).is_some(),
            Hierarchies::V2(root) => fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|all| all.split_whitespace().any(|one| one == HUGE_PAGES)),
        }
    }

    /// Limits the huge pages of a group that was made, pages of these sizes; what the kernel cannot limit stays as it is.
    pub(crate) fn limit_huge_pages(
        &self,
        path: &str,
        sizes: &[u64],
        limits: &HugePages,
    ) -> Result<(), RuntimeError> {
        let (hierarchy, file) = match &self.0 {
            Hierarchies::V1(all) => (find(all, HUGE_PAGES), "limit_in_bytes"),
            Hierarchies::V2(root) => (Some(root), "max"),
        };
        let Some(hierarchy) = hierarchy else { return Ok(()) };
        let directory = below(hierarchy, path);
        if matches!(self.0, Hierarchies::V1(_)) {
            fs::create_dir_all(&directory).map_err(failed("create cgroup", &directory))?;
        }
        for size in sizes {
            let (name, limit) = (huge_pages::name(*size), limits.get(size).copied().unwrap_or(0).to_string());
            // What is used, and what is promised to those who will.
            for file in [format!("hugetlb.{name}.{file}"), format!("hugetlb.{name}.rsvd.{file}")] {
                if directory.join(&file).exists() {
                    write(&directory, &file, &limit)?;
                }
            }
        }
        Ok(())
    }

    /// Has the processes of a group, which the OCI runtime made, run on these processors.
    pub(crate) fn set_cpus(&self, path: &str, cpus: &CpuSet) -> Result<(), RuntimeError> {
        let hierarchy = match &self.0 {
            Hierarchies::V1(all) => find(all, "cpuset").ok_or_else(|| RuntimeError::Failed {
                step: format!("moving a container to the processors {cpus}"),
                reason: "the cgroup controller cpuset is not mounted".to_owned(),
            })?,
            Hierarchies::V2(root) => root,
        };
        write(&below(hierarchy, path), "cpuset.cpus", &cpus.to_string())
    }

    /// Kills every process in the group and in those below it, and waits until they are gone.
    pub(crate) fn kill(&self, path: &str) -> Result<(), RuntimeError> {
        self.0.kill(path).map_err(io_error)
    }

    /// Whether anything runs in the group or in those below it.
    pub(crate) fn has_processes(&self, path: &str) -> bool {
        self.0.has_processes(path)
    }

    /// Removes the group and those below it; what is absent is fine.
    pub(crate) fn remove(&self, path: &str) -> Result<(), RuntimeError> {
        for hierarchy in self.0.all() {
            let directory = below(hierarchy, path);
            remove_tree(&directory).map_err(failed("remove cgroup", &directory))?;
        }
        Ok(())
    }
}

fn ensure_v1(hierarchies: &[PathBuf], path: &str, limits: &Resources) -> Result<(), RuntimeError> {
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
        let Some(hierarchy) = find(hierarchies, controller) else { continue };
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

/// Lifts the quotas of groups in which nothing runs any more: the kernel gives no group less than those below it have.
fn lift_quotas(directory: &Path) {
    for group in tree(directory).unwrap_or_default() {
        if group != directory && process_ids(&group).is_ok_and(|ids| ids.is_empty()) {
            // One that is being removed has no more say.
            write(&group, QUOTA, "-1").ok();
        }
    }
}

/// The limit that a group of version 2 has.
fn memory_limit(directory: &Path) -> Option<u64> {
    fs::read_to_string(directory.join("memory.max")).ok()?.trim().parse().ok()
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
        for controller in ["+cpu", "+cpuset", "+hugetlb", "+memory", "+pids"] {
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

fn write(directory: &Path, file: &str, value: &str) -> Result<(), RuntimeError> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(failed("write", &path))
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
        let cgroups = Cgroups(Hierarchies::V1(hierarchies.to_vec()));
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
    }

    #[test]
    fn the_processors_of_a_group_are_written_where_each_version_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let two = "0,2".parse().unwrap();
        fs::create_dir_all(dir.path().join("cpuset/w/c")).unwrap();
        Cgroups(Hierarchies::V1(vec![dir.path().join("cpuset")])).set_cpus("/w/c", &two).unwrap();
        Cgroups(Hierarchies::V2(dir.path().join("cpuset"))).set_cpus("/w", &two).unwrap();
        assert_eq!(written(dir.path(), &["cpuset/w/c/cpuset.cpus", "cpuset/w/cpuset.cpus"]), ["0,2", "0,2"]);
        let none = Cgroups(Hierarchies::V1(Vec::new())).set_cpus("/w", &two).unwrap_err().to_string();
        assert!(none.contains("cpuset is not mounted"), "{none}");
    }

    #[test]
    fn huge_pages_are_limited_where_each_version_has_them_and_those_not_asked_for_to_none() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("hugetlb"), dir.path().join("unified"));
        let sizes = [2 << 20, 1 << 30];
        let limits = HugePages::from([(2 << 20, 4 << 20)]);
        for (cgroups, root, file) in [
            (Hierarchies::V1(vec![first.clone()]), &first, "limit_in_bytes"),
            (Hierarchies::V2(second.clone()), &second, "max"),
        ] {
            let group = root.join("w/pod");
            fs::create_dir_all(&group).unwrap();
            let files = [
                format!("hugetlb.2MB.{file}"),
                format!("hugetlb.2MB.rsvd.{file}"),
                format!("hugetlb.1GB.{file}"),
            ];
            for file in &files {
                fs::write(group.join(file), "max").unwrap();
            }
            fs::write(root.join("cgroup.controllers"), "cpu hugetlb memory").unwrap();
            let cgroups = Cgroups(cgroups);
            assert!(cgroups.limits_huge_pages());
            cgroups.limit_huge_pages("/w/pod", &sizes, &limits).unwrap();
            assert_eq!(written(&group, &files.each_ref().map(String::as_str)), ["4194304", "4194304", "0"]);
            assert!(
                !group.join(format!("hugetlb.1GB.rsvd.{file}")).exists(),
                "what is not there is not made"
            );
        }
        let none = Cgroups(Hierarchies::V1(Vec::new()));
        assert!(!none.limits_huge_pages() && none.limit_huge_pages("/w/pod", &sizes, &limits).is_ok());
    }

    #[test]
    fn version_2_enables_the_controllers_above_and_writes_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = Cgroups(Hierarchies::V2(dir.path().to_path_buf()));
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
        fs::write(dir.path().join("w/pod/memory.current"), "3000000\n").unwrap();
        fs::write(dir.path().join("w/pod/memory.stat"), "anon 7\ninactive_file 1000000\n").unwrap();
        let refused = cgroups.update("/w/pod", &LIMITS).unwrap_err().to_string();
        assert_eq!(refused, "limiting the memory to 1048576 bytes failed: its processes need 2000000 bytes");
        fs::write(dir.path().join("w/pod/memory.stat"), "anon 7\ninactive_file 2000000\n").unwrap();
        cgroups.update("/w/pod", &LIMITS).unwrap();
        assert_eq!(written(dir.path(), &files), ["10", "150000 100000", "1048576", "7"]);
    }
}
