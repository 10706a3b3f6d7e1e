//! What is asked of a runtime: sandboxes, containers, the image content they run.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::common_env::CommonEnv;
use crate::cpu_set::CpuSet;
use crate::huge_pages::HugePages;

/// Identifies the sandbox of one pod: the pod's uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SandboxId(pub String);

/// Identifies one attempt at one container of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId {
    /// The sandbox (pod) this container belongs to.
    pub sandbox: SandboxId,
    /// The container's name, unique within the sandbox; a DNS label.
    pub name: String,
    /// Zero for the first run, one more for each restart.
    pub attempt: u32,
}

impl SandboxId {
    /// What belongs to the sandbox's containers.
    pub fn among<'a, T>(
        &'a self,
        containers: &'a BTreeMap<ContainerId, T>,
    ) -> impl Iterator<Item = (&'a ContainerId, &'a T)> {
        let first = ContainerId { sandbox: self.clone(), name: String::new(), attempt: 0 };
        containers.range(first..).take_while(move |(id, _)| id.sandbox == *self)
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ContainerId {
    /// `UID_NAME_ATTEMPT`: usable as a file name and as a runc container id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.sandbox, self.name, self.attempt)
    }
}

/// What the containers of one pod share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The pod's uid.
    pub id: SandboxId,
    /// The namespace of the pod's name: what several pods share beyond the node is kept apart by it.
    #[serde(default)]
    pub namespace: String,
    /// The hostname containers see.
    pub hostname: String,
    /// The pod's address, which wasm containers bind.
    pub ip: IpAddr,
    /// Its address of IPv6, if it has one beside.
    #[serde(default)]
    pub ip6: Option<Ipv6Addr>,
    /// The network namespace to join, for pods that have one.
    pub netns: Option<PathBuf>,
    /// How its containers find hosts by their names.
    #[serde(default)]
    pub dns: DnsConfig,
    /// The cgroup of the pod, relative to the hierarchy root (`/kubepods/pod<uid>`), for runtimes that use cgroups.
    pub cgroup_parent: String,
    /// Limits of the pod as a whole.
    pub resources: Resources,
    /// How much memory its containers may have together in huge pages; of a size that is not here, none.
    #[serde(default)]
    pub huge_pages: HugePages,
    /// Which of the node's namespaces its containers live in, beside the network's.
    #[serde(default)]
    pub node_namespaces: NodeNamespaces,
    /// Whether its containers see each other's processes, below a first process that belongs to none of them.
    #[serde(default)]
    pub shares_processes: bool,
    /// Kernel settings of the pod's namespaces, by their names with dots; they are made once, before any container.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The pod's users, if it has some for itself.
    #[serde(default)]
    pub users: Option<PodUsers>,
}

/// Users that a pod has for itself: its ids, from 0 on, are others on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodUsers {
    /// The directory in which the namespaces are mounted that belong to these users.
    pub namespaces: PathBuf,
    /// The id of the node that is 0 in the pod.
    pub first_id: u32,
    /// How many there are, of users as of groups.
    pub count: u32,
}

impl PodUsers {
    /// The namespace of the users.
    pub fn user(&self) -> PathBuf {
        self.namespaces.join("user")
    }

    /// A network namespace, as it was made.
    pub fn network(&self) -> PathBuf {
        self.namespaces.join("network")
    }

    /// An IPC namespace.
    pub fn ipc(&self) -> PathBuf {
        self.namespaces.join("ipc")
    }

    /// The id of the node that is this one in the pod; `None` if it is none of the pod's.
    pub fn on_node(&self, id: u32) -> Option<u32> {
        if id < self.count { self.first_id.checked_add(id) } else { None }
    }
}

/// What a resolver is told, as in `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Whom to ask, in order.
    pub nameservers: Vec<IpAddr>,
    /// Domains in which short names are looked for, in order.
    pub searches: Vec<String>,
    /// Options, as `ndots:5`.
    pub options: Vec<String>,
}

/// Namespaces of the node that a pod's containers use instead of ones of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNamespaces {
    /// They see the node's processes.
    pub pid: bool,
    /// They share System V IPC and POSIX message queues with the node.
    pub ipc: bool,
}

/// One container, ready to run: every Kubernetes default and reference has been resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Which container and which attempt at it.
    pub id: ContainerId,
    /// The sandbox it runs in.
    pub sandbox: SandboxSpec,
    /// What to run.
    pub image: ImageContent,
    /// Replaces the image's entrypoint if set.
    pub command: Option<Vec<String>>,
    /// Replaces the image's default arguments if set (also dropped when only `command` is set).
    pub args: Option<Vec<String>>,
    /// Environment in order, added to the image's; the last of equal names wins.
    pub env: Vec<(String, String)>,
    /// Variables that it has in common with others: they win over the image's, and those of `env` over them.
    #[serde(default, skip_serializing_if = "CommonEnv::is_empty")]
    pub common_env: CommonEnv,
    /// Working directory; the image's, else `/`.
    pub working_dir: Option<String>,
    /// Bind mounts, in order.
    pub mounts: Vec<Mount>,
    /// Devices of the node, which only runtimes with devices of their own heed.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Limits of this container.
    pub resources: Resources,
    /// How much memory it may have in huge pages; of a size that is not here, none. Only runtimes whose containers are processes
    /// heed it.
    #[serde(default)]
    pub huge_pages: HugePages,
    /// The processors it runs on; `None` for any. Only runtimes whose containers are processes heed it.
    #[serde(default)]
    pub cpus: Option<CpuSet>,
    /// Who runs it.
    pub user: UserSpec,
    /// What the kernel keeps from it.
    #[serde(default)]
    pub confinement: Confinement,
    /// Whether the root file system is read-only.
    pub read_only_rootfs: bool,
    /// The program that runs it, by its name as a handler of RuntimeClasses (`crun`), where it is not to be the runtime's usual one. Only
    /// runtimes that leave containers to such programs heed it.
    #[serde(default)]
    pub program: Option<String>,
    /// The container of its sandbox whose processes it sees instead of its own alone; that one runs.
    #[serde(default)]
    pub processes_of: Option<String>,
    /// Whether it has a network of its own with nothing but loopback, where its sandbox has no namespace for one. Only runtimes whose
    /// containers are processes heed it.
    #[serde(default)]
    pub own_network: bool,
    /// What its program reads from and writes to.
    #[serde(default)]
    pub streams: Streams,
    /// Declared container ports, in order; a wasi:http component is served on the first, else on 80.
    pub ports: Vec<u16>,
    /// The file that receives stdout and stderr, in CRI log format. Its directory exists.
    pub log_path: PathBuf,
    /// Free-form annotations, handed to the runtime (`run.wherry.dev/...`).
    pub annotations: BTreeMap<String, String>,
    /// Programs of the node that are run at stages of the container's life, by runtimes that have such stages.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

/// A program of the node that is run at a stage of a container's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When.
    pub stage: HookStage,
    /// The program.
    pub path: PathBuf,
    /// Its arguments, of which the first is its name.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// A stage of a container's life, in the words of the OCI runtime specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookStage {
    /// After its namespaces were made; the same as the next, for older programs.
    Prestart,
    /// After its namespaces were made, in those of the node.
    CreateRuntime,
    /// The same, in the container's mount namespace.
    CreateContainer,
    /// Before its program starts, in its namespaces.
    StartContainer,
    /// After its program started.
    Poststart,
    /// After it was removed.
    Poststop,
}

impl HookStage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

impl ContainerSpec {
    /// Whether its program is not the first of the processes it sees.
    pub fn sees_other_processes(&self) -> bool {
        self.processes_of.is_some() || self.sandbox.shares_processes || self.sandbox.node_namespaces.pid
    }
}

/// What a container's program reads from and writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Whether whoever attaches may write to its standard input; else that is empty.
    pub stdin: bool,
    /// Whether its input ends with what the first one writes.
    pub stdin_once: bool,
    /// Whether it has a terminal, which carries input, output and errors.
    pub terminal: bool,
}

/// The content of an image, in the node's content store, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageContent {
    /// A WebAssembly binary (core module or component).
    Wasm {
        /// `sha256:...` of the bytes in `path`.
        digest: String,
        /// The blob.
        path: PathBuf,
        /// Entrypoint and environment of the image config, where the image shape has one.
        entrypoint: Vec<String>,
        /// `NAME=value` pairs of the image config.
        env: Vec<String>,
    },
    /// An OCI image: its config and layers, none unpacked.
    Oci {
        /// `sha256:...` of the image config, which identifies the image.
        digest: String,
        /// The image config blob (OCI image configuration JSON).
        config: PathBuf,
        /// Layer blobs from the lowest up, each with its media type and its digest.
        layers: Vec<Layer>,
    },
}

/// One layer blob of an OCI image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `sha256:...` of the (compressed) blob.
    pub digest: String,
    /// The media type of the manifest's descriptor, which tells the compression.
    pub media_type: String,
    /// The blob.
    pub path: PathBuf,
}

/// A bind mount of a file or directory of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Existing file or directory on the node.
    pub host_path: PathBuf,
    /// Absolute path in the container.
    pub container_path: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// What else sets the mount apart.
    #[serde(default)]
    pub options: MountOptions,
}

impl Mount {
    /// A mount without further options.
    pub fn new(host_path: impl Into<PathBuf>, container_path: impl Into<String>, read_only: bool) -> Self {
        let options = MountOptions::default();
        Self { host_path: host_path.into(), container_path: container_path.into(), read_only, options }
    }
}

/// What sets a mount apart from a plain one. Only runtimes with mounts of their own heed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    /// Whether a read-only mount makes what is mounted below it read-only, too.
    pub recursive_read_only: bool,
    /// Whether nothing in it can be executed.
    pub no_exec: bool,
    /// Which mounts that are made below it later appear on the other side.
    #[serde(default)]
    pub propagation: Propagation,
}

/// Who sees mounts that are made below a mount after the container began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Propagation {
    /// Who made them.
    #[default]
    Private,
    /// The container, too, if the node made them.
    FromNode,
    /// Both, whoever made them.
    Both,
}

/// A device of the node that a container may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// An existing device, or a link to one.
    pub host_path: PathBuf,
    /// Absolute path in the container.
    pub container_path: String,
    /// What the container may do: some of `r`, `w` and `m`.
    pub permissions: String,
}

/// Limits; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU request in thousandths of a core; becomes the cgroup's shares or weight.
    pub cpu_request_millis: Option<u64>,
    /// CPU limit in thousandths of a core; becomes the cgroup's quota.
    pub cpu_limit_millis: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Largest number of processes and threads.
    pub pids_limit: Option<u64>,
}

/// The user a container runs as; `None` takes the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Numeric user id.
    pub uid: Option<u32>,
    /// Numeric primary group id.
    pub gid: Option<u32>,
    /// Supplementary groups.
    pub supplemental_groups: Vec<u32>,
    /// Whether the groups that the image gives its user are left out.
    #[serde(default)]
    pub only_these_groups: bool,
    /// Full access to the node (privileged).
    pub privileged: bool,
    /// Capabilities added to the default set, without the `CAP_` prefix; `ALL` means every one.
    pub add_capabilities: Vec<String>,
    /// Capabilities dropped from the default set, without the `CAP_` prefix; `ALL` means every one.
    pub drop_capabilities: Vec<String>,
    /// Whether a process may gain privileges its parent did not have.
    pub allow_privilege_escalation: bool,
}

/// What the kernel keeps from a container beyond capabilities; a privileged one is kept from nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Which system calls are refused.
    pub seccomp: Seccomp,
    /// Which AppArmor profile holds for it.
    #[serde(default)]
    pub apparmor: AppArmor,
    /// Whether it sees, and may write to, what of the kernel's files is kept from others.
    #[serde(default)]
    pub bare_proc: bool,
}

/// Which AppArmor profile a container runs under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppArmor {
    /// Nobody asked: the runtime's own, where there can be one.
    #[default]
    Unset,
    /// The runtime's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One that somebody loaded into the kernel.
    Profile(String),
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seccomp {
    /// All.
    #[default]
    Unconfined,
    /// Those that the runtime deems harmless for the container's capabilities.
    RuntimeDefault,
    /// Those of a profile in a file, as the `seccomp` of an OCI runtime specification.
    Profile(PathBuf),
}
