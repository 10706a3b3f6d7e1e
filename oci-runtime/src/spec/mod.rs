//! From what is asked ([`ContainerSpec`]) and the image's config to the OCI runtime specification.
//!
//! Pure: what depends on the machine comes in as [`Host`], what depends on the image's files as [`Accounts`].

pub(crate) mod capabilities;
mod mounts;
pub(crate) mod process;
pub(crate) mod processes;
pub(crate) mod user;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::image::Config;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use wherry_runtime_api::{ContainerSpec, Resources};

use crate::cgroup;
use user::{Accounts, Identity};

/// The version of the OCI runtime specification written; all of runc 1.1, crun and youki accept it.
const VERSION: &str = "1.0.2";
const MAX_OPEN_FILES: u64 = 1024 * 1024;
/// kubelet's scores: a container that asked for nothing goes first, one with all it needs reserved last.
const OOM_SCORE_BEST_EFFORT: i32 = 1000;
const OOM_SCORE_GUARANTEED: i32 = -997;

/// What of this machine and process the specification depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// Bit set of the capabilities this process has.
    pub(crate) capabilities: u64,
    /// The lowest out-of-memory score this process may give.
    pub(crate) lowest_oom_score: i32,
    /// The largest number of open files this process may give.
    pub(crate) open_files: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
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
    let process = process(spec, image, &identity, host)?;
    assemble(spec, process, cgroup).map_err(|error| error.to_string())
}

fn check_mounts(spec: &ContainerSpec) -> Result<(), String> {
    let relative = spec.mounts.iter().find(|mount| !mount.container_path.starts_with('/'));
    relative
        .map_or(Ok(()), |mount| Err(format!("mountPath {:?} is not an absolute path", mount.container_path)))
}

fn assemble(spec: &ContainerSpec, process: Process, cgroup: &str) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default().path("rootfs").readonly(spec.read_only_rootfs).build()?;
    let annotations: HashMap<String, String> = spec.annotations.clone().into_iter().collect();
    SpecBuilder::default()
        .version(VERSION)
        .root(root)
        .process(process)
        .hostname(spec.sandbox.hostname.clone())
        .mounts(mounts::all(spec)?)
        .annotations(annotations)
        .linux(linux(spec, cgroup)?)
        .build()
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

fn linux(spec: &ContainerSpec, cgroup: &str) -> Result<Linux, OciSpecError> {
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(spec.sandbox.netns.as_deref())?)
        .resources(resources(spec)?)
        .cgroups_path(cgroup);
    if !spec.user.privileged {
        let list = |paths: &[&str]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        linux = linux.masked_paths(list(&mounts::MASKED)).readonly_paths(list(&mounts::READ_ONLY));
    }
    if spec.sandbox.netns.is_some() {
        // As containerd sets them: without CAP_NET_BIND_SERVICE a port below 1024, and ping, work in a pod.
        let settings =
            [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
        let settings: HashMap<_, _> =
            settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        linux = linux.sysctl(settings);
    }
    let mut linux = linux.build()?;
    if spec.user.privileged {
        // The builder fills in what is not set.
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    Ok(linux)
}

/// New namespaces, and the pod's for the network; a pod without one shares the node's network.
fn namespaces(netns: Option<&Path>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let new = [Pid, Ipc, Uts, Mount, Cgroup].map(|typ| LinuxNamespaceBuilder::default().typ(typ).build());
    let network = netns.map(|path| LinuxNamespaceBuilder::default().typ(Network).path(path).build());
    new.into_iter().chain(network).collect()
}

fn resources(spec: &ContainerSpec) -> Result<LinuxResources, OciSpecError> {
    let limits = &spec.resources;
    let device = LinuxDeviceCgroupBuilder::default().allow(spec.user.privileged).access("rwm").build()?;
    let mut cpu = LinuxCpuBuilder::default().shares(cgroup::shares(limits.cpu_request_millis.unwrap_or(0)));
    if let Some(millis) = limits.cpu_limit_millis {
        cpu = cpu
            .quota(i64::try_from(cgroup::quota(millis)).unwrap_or(i64::MAX))
            .period(cgroup::CPU_PERIOD_MICROS);
    }
    let mut resources = LinuxResourcesBuilder::default().devices(vec![device]).cpu(cpu.build()?);
    if let Some(bytes) = limits.memory_limit_bytes {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        resources = resources.memory(LinuxMemoryBuilder::default().limit(bytes).build()?);
    }
    if let Some(count) = limits.pids_limit {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        resources = resources.pids(LinuxPidsBuilder::default().limit(count).build()?);
    }
    resources.build()
}
