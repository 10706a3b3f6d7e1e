//! From what is asked ([`ContainerSpec`]) and the image's config to the OCI runtime specification.
//!
//! Pure: what depends on the machine comes in as [`Host`], what depends on the image's files as [`Accounts`].

pub(crate) mod capabilities;
pub(crate) mod devices;
mod hooks;
pub(crate) mod joined;
mod mounts;
mod namespaces;
pub(crate) mod process;
mod seccomp;
mod syscalls;
pub(crate) mod user;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;

use oci_spec::OciSpecError;
use oci_spec::image::Config;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCpuBuilder, LinuxDevice, LinuxDeviceCgroupBuilder, LinuxHugepageLimitBuilder,
    LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, PosixRlimitBuilder,
    PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use wherry_runtime_api::{ContainerSpec, Propagation, Resources, huge_pages};

use crate::cgroup;
use user::{Accounts, Identity};

/// The version of the OCI runtime specification written; all of runc 1.1, crun and youki accept it.
const VERSION: &str = "1.0.2";
const MAX_OPEN_FILES: u64 = 1024 * 1024;
/// kubelet's scores: a container that asked for nothing goes first, one with all it needs reserved last.
const OOM_SCORE_BEST_EFFORT: i32 = 1000;
const OOM_SCORE_GUARANTEED: i32 = -997;

/// What of this machine and process the specification depends on.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Bit set of the capabilities this process has.
    pub(crate) capabilities: u64,
    /// The lowest out-of-memory score this process may give.
    pub(crate) lowest_oom_score: i32,
    /// The largest number of open files this process may give.
    pub(crate) open_files: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// The devices of the node, for containers that may use all of them.
    pub(crate) devices: Vec<LinuxDevice>,
    /// The sizes of huge pages that control groups can limit.
    pub(crate) huge_pages: Vec<u64>,
}

/// Builds the specification, or says why the container cannot run.
pub(crate) fn build(
    spec: &ContainerSpec,
    image: &Config,
    accounts: &Accounts,
    host: &Host,
    cgroup: &str,
) -> Result<Spec, String> {
    let identity = user::resolve(&spec.user, image.user().as_deref().unwrap_or_default(), accounts)?;
    check_mounts(spec)?;
    check_users(spec, &identity)?;
    devices::check(&spec.devices)?;
    let process = process(spec, image, &identity, host)?;
    let mut linux = linux(spec, host, cgroup).map_err(|error| error.to_string())?;
    if !spec.user.privileged {
        linux.set_seccomp(seccomp::filter(&spec.confinement.seccomp, process.capabilities().as_ref())?);
    }
    assemble(spec, process, linux).map_err(|error| error.to_string())
}

fn check_mounts(spec: &ContainerSpec) -> Result<(), String> {
    let relative = spec.mounts.iter().find(|mount| !mount.container_path.starts_with('/'));
    relative
        .map_or(Ok(()), |mount| Err(format!("mountPath {:?} is not an absolute path", mount.container_path)))
}

/// What pods with users of their own cannot have, because it would be of the node's users, or of nobody.
fn check_users(spec: &ContainerSpec, identity: &Identity) -> Result<(), String> {
    let Some(users) = &spec.sandbox.users else { return Ok(()) };
    if spec.mounts.iter().any(|mount| mount.options.propagation == Propagation::Both) {
        return Err("mountPropagation Bidirectional needs the node's users: leave hostUsers out".to_owned());
    }
    let mut ids = [identity.uid, identity.gid].into_iter().chain(identity.groups.iter().copied());
    match ids.find(|id| users.on_node(*id).is_none()) {
        Some(id) => Err(format!(
            "user or group {id} is none of the {} that a pod with hostUsers: false has",
            users.count
        )),
        None => Ok(()),
    }
}

fn assemble(spec: &ContainerSpec, process: Process, linux: Linux) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default().path("rootfs").readonly(spec.read_only_rootfs).build()?;
    let annotations: HashMap<String, String> = spec.annotations.clone().into_iter().collect();
    let mut built = SpecBuilder::default()
        .version(VERSION)
        .root(root)
        .process(process)
        .hostname(spec.sandbox.hostname.clone())
        .mounts(mounts::all(spec)?)
        .annotations(annotations)
        .linux(linux)
        .build()?;
    built.set_hooks(hooks::of(&spec.hooks)?);
    Ok(built)
}

fn process(spec: &ContainerSpec, image: &Config, user: &Identity, host: &Host) -> Result<Process, String> {
    let arguments = process::arguments(spec, image)?;
    let directory = process::directory(spec, image)?;
    let capabilities = capabilities::resolve(&spec.user, host.capabilities)?;
    let build = || {
        let files = host.open_files.min(MAX_OPEN_FILES);
        let limit = PosixRlimitBuilder::default()
            .typ(PosixRlimitType::RlimitNofile)
            .soft(files)
            .hard(files)
            .build()?;
        let user = UserBuilder::default()
            .uid(user.uid)
            .gid(user.gid)
            .additional_gids(user.groups.clone())
            .build()?;
        ProcessBuilder::default()
            .terminal(spec.streams.terminal)
            .user(user)
            .args(arguments)
            .env(process::environment(spec, image))
            .cwd(directory)
            .capabilities(capabilities)
            .rlimits(vec![limit])
            .no_new_privileges(!spec.user.allow_privilege_escalation && !spec.user.privileged)
            .oom_score_adj(oom_score(&spec.resources, host))
            .build()
    };
    build().map_err(|error: OciSpecError| error.to_string())
}

/// kubelet's rule, with the memory limit for the request: limits on everything make a container the last to go,
/// no limits at all the first, else the score falls with the share of the node's memory.
fn oom_score(resources: &Resources, host: &Host) -> i32 {
    let guaranteed = resources.memory_limit_bytes.is_some()
        && resources.cpu_limit_millis.is_some()
        && resources.cpu_limit_millis == resources.cpu_request_millis;
    let score = match (guaranteed, resources.memory_limit_bytes) {
        (true, _) => OOM_SCORE_GUARANTEED,
        (false, Some(limit)) => {
            let share = u128::from(limit) * 1000 / u128::from(host.memory.max(1));
            (OOM_SCORE_BEST_EFFORT - i32::try_from(share).unwrap_or(i32::MAX).min(997)).clamp(3, 999)
        }
        (false, None) if resources.cpu_request_millis.is_some_and(|millis| millis > 0) => 999,
        (false, None) => OOM_SCORE_BEST_EFFORT,
    };
    score.max(host.lowest_oom_score)
}

fn linux(spec: &ContainerSpec, host: &Host, cgroup: &str) -> Result<Linux, OciSpecError> {
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces::of(spec)?)
        .resources(resources(spec, host)?)
        .cgroups_path(cgroup)
        .build()?;
    // What is not set here the builder has filled in.
    let bare = spec.user.privileged || spec.confinement.bare_proc;
    let hidden = |paths: &[&str]| (!bare).then(|| paths.iter().map(ToString::to_string).collect::<Vec<_>>());
    linux.set_masked_paths(hidden(&mounts::MASKED)).set_readonly_paths(hidden(&mounts::READ_ONLY));
    if let Some(users) = &spec.sandbox.users {
        let ids = namespaces::ids(users)?;
        linux.set_uid_mappings(Some(ids.clone())).set_gid_mappings(Some(ids));
    }
    if spec.mounts.iter().any(|mount| mount.options.propagation == Propagation::Both) {
        // Else the OCI runtime would cut all of the container's mounts off from their peers first.
        linux.set_rootfs_propagation(Some("rshared".to_owned()));
    }
    let of_node = if spec.user.privileged { host.devices.clone() } else { Vec::new() };
    if let Some(devices) = devices::with(of_node, &spec.devices) {
        linux.set_devices(Some(devices));
    }
    Ok(linux)
}

fn resources(spec: &ContainerSpec, host: &Host) -> Result<LinuxResources, OciSpecError> {
    let limits = &spec.resources;
    let device = LinuxDeviceCgroupBuilder::default().allow(spec.user.privileged).access("rwm").build()?;
    let mut cpu = LinuxCpuBuilder::default().shares(cgroup::shares(limits.cpu_request_millis.unwrap_or(0)));
    if let Some(millis) = limits.cpu_limit_millis {
        cpu = cpu
            .quota(i64::try_from(cgroup::quota(millis)).unwrap_or(i64::MAX))
            .period(cgroup::CPU_PERIOD_MICROS);
    }
    if let Some(cpus) = &spec.cpus {
        cpu = cpu.cpus(cpus.to_string());
    }
    let rules = std::iter::once(Ok(device)).chain(spec.devices.iter().filter_map(devices::rule));
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    let mut resources = LinuxResourcesBuilder::default().devices(rules).cpu(cpu.build()?);
    if let Some(bytes) = limits.memory_limit_bytes {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        resources = resources.memory(LinuxMemoryBuilder::default().limit(bytes).build()?);
    }
    if let Some(count) = limits.pids_limit {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        resources = resources.pids(LinuxPidsBuilder::default().limit(count).build()?);
    }
    let pages = host.huge_pages.iter().map(|size| {
        let bytes = spec.huge_pages.get(size).copied().unwrap_or(0);
        let limit = LinuxHugepageLimitBuilder::default().page_size(huge_pages::name(*size));
        limit.limit(i64::try_from(bytes).unwrap_or(i64::MAX)).build()
    });
    let pages = pages.collect::<Result<Vec<_>, _>>()?;
    if !pages.is_empty() {
        resources = resources.hugepage_limits(pages);
    }
    resources.build()
}
