//! The file systems a container sees beside its root: the kernel's, and the binds asked for.

use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};
use wherry_runtime_api::{ContainerSpec, Mount as Bind, Propagation};

/// Kernel files that tell about or change the node, hidden from containers: the list of containerd.
pub(super) const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/scsi",
];

/// Kernel files a container may read only.
pub(super) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where the memory is that processes share by name: that of the pod, or the node's with its IPC namespace.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Type, place and options of the kernel's file systems, in order.
const KERNEL: [(&str, &str, &str); 7] = [
    ("proc", "/proc", "nosuid,noexec,nodev"),
    ("tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k"),
    ("devpts", "/dev/pts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("tmpfs", SHARED_MEMORY, "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("mqueue", "/dev/mqueue", "nosuid,noexec,nodev"),
    ("sysfs", "/sys", "nosuid,noexec,nodev,ro"),
    ("cgroup", "/sys/fs/cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

/// All mounts, in the order they are made; a bind may cover one of the kernel's.
pub(super) fn all(spec: &ContainerSpec) -> Result<Vec<Mount>, OciSpecError> {
    let of_node = |place: &str| place == SHARED_MEMORY && spec.sandbox.node_namespaces.ipc;
    let asked = |place: &str| spec.mounts.iter().any(|mount| mount.container_path == place);
    let kernel = KERNEL.iter().filter(|(_, place, _)| !asked(place) && !of_node(place)).map(
        |(kind, place, options)| {
            let options = options.split(',').map(|option| match option {
                "ro" if spec.user.privileged => "rw",
                other => other,
            });
            mount(kind, Path::new(kind), place, options)
        },
    );
    let shared = spec.sandbox.node_namespaces.ipc && !asked(SHARED_MEMORY);
    let shared = shared.then(|| {
        mount(
            "bind",
            Path::new(SHARED_MEMORY),
            SHARED_MEMORY,
            ["rbind", "rprivate", "nosuid", "noexec", "nodev"],
        )
    });
    // A bind below another must be made after it, or it would be hidden.
    let mut binds: Vec<&Bind> = spec.mounts.iter().collect();
    binds.sort_by_key(|bind| Path::new(&bind.container_path).components().count());
    let binds =
        binds.iter().map(|bind| mount("bind", &bind.host_path, &bind.container_path, options_of(bind)));
    kernel.chain(shared).chain(binds).collect()
}

fn options_of(bind: &Bind) -> Vec<&'static str> {
    let propagation = match bind.options.propagation {
        Propagation::Private => "rprivate",
        Propagation::FromNode => "rslave",
        Propagation::Both => "rshared",
    };
    let access = match (bind.read_only, bind.options.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    };
    let mut options = vec!["rbind", propagation, access];
    if bind.options.no_exec {
        options.push("noexec");
    }
    options
}

fn mount<'a>(
    kind: &str,
    source: &Path,
    place: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.into_iter().map(str::to_owned).collect();
    MountBuilder::default().destination(place).typ(kind).source(source).options(options).build()
}
