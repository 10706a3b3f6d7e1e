//! What this machine and process allow, read from the kernel.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use wherry_runtime_api::huge_pages;

use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::spec::{Host, devices};

const LOWEST_OOM_SCORE: i32 = -1000;

/// Reads what a container's specification depends on.
pub(crate) fn read() -> Host {
    let capabilities =
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let own_score =
        fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    let may_lower = capabilities.contains(CapabilitySet::SYS_RESOURCE);
    Host {
        capabilities: capabilities.bits(),
        lowest_oom_score: if may_lower { LOWEST_OOM_SCORE } else { own_score.unwrap_or(0) },
        open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        memory: memory(),
        devices: devices::list(Path::new("/dev")),
        huge_pages: Cgroups::detect()
            .is_ok_and(|cgroups| cgroups.limits_huge_pages())
            .then(sizes)
            .unwrap_or_default(),
    }
}

/// The sizes of huge pages that the kernel knows.
pub(crate) fn sizes() -> Vec<u64> {
    huge_pages::of_kernel(Path::new(huge_pages::KERNEL)).into_keys().collect()
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Says whether the usual OCI runtime is there.
pub(crate) fn check_program(config: &Config) -> Result<(), String> {
    if config.find_binary().is_some() {
        return Ok(());
    }
    let binary = config.runtime_binary.display();
    Err(format!(
        "the OCI runtime {binary:?} is not installed; install it, for instance with: apt-get install runc"
    ))
}

/// Says whether containers can run here, whatever the OCI runtime, else what is missing and how to get it.
pub(crate) fn check() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("OCI containers need root; run wherry as root, or use wasm images".to_owned());
    }
    Cgroups::detect()?;
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // As a module, it is loaded by the first mount.
    if !known.lines().any(|line| line.ends_with("\toverlay")) && !Path::new("/proc/modules").exists() {
        return Err("the kernel has no overlay file system (CONFIG_OVERLAY_FS)".to_owned());
    }
    Ok(())
}
