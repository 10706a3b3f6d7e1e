//! The calls of a runtime and their errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::cpu_set::CpuSet;
use crate::disk::DiskUsage;
use crate::exec::{ExecSpec, Execution};
use crate::spec::{ContainerId, ContainerSpec, ImageContent, PodUsers, Resources, SandboxId, SandboxSpec};
use crate::status::ContainerStatus;
use crate::usage::Usage;

/// What a runtime lacks that has no users.
const NO_USERS: &str = "a pod with users of its own";

/// Runs containers of one kind.
///
/// # Flow
/// `prepare_image` (may be slow: unpack, compile) -> `ensure_sandbox` -> `create` -> `start` -> exit or `stop` ->
/// `remove` -> `remove_sandbox`.
///
/// # Errors
/// Every call answers a [`RuntimeError`]; the caller decides whether to try again.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// The RuntimeClass handler this runtime answers to: `wasmtime` or `runc`.
    fn handler(&self) -> &'static str;

    /// Says whether containers can run here; an error names what is missing and how to get it.
    async fn ready(&self) -> Result<(), RuntimeError>;

    /// The same of containers that are to be run by this program instead of the usual one.
    async fn ready_with(&self, program: &str) -> Result<(), RuntimeError> {
        Err(RuntimeError::NoProgram(program.to_owned()))
    }

    /// Does what is needed once per image: unpacks layers, or validates and compiles wasm.
    async fn prepare_image(&self, image: &ImageContent) -> Result<(), RuntimeError>;

    /// What the image's program asks of its host, by names, as far as that can be told before it runs.
    async fn imports(&self, _image: &ImageContent) -> Result<Vec<String>, RuntimeError> {
        Ok(Vec::new())
    }

    /// Shows the image's files, read-only, in the existing directory `target`, until that is unmounted.
    async fn mount_image(&self, _image: &ImageContent, _target: &Path) -> Result<(), RuntimeError> {
        Err(RuntimeError::Unsupported { handler: self.handler(), what: "mounting of images" })
    }

    /// Drops what `prepare_image` made for the image of this digest.
    async fn forget_image(&self, digest: &str) -> Result<(), RuntimeError>;

    /// Makes the cgroup `path`, which those of sandboxes are below, or changes its limits. A runtime without cgroups has nothing
    /// to do.
    async fn ensure_group(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError>;

    /// Says whether pods can have users of their own here; an error names what is missing.
    async fn can_map_users(&self) -> Result<(), RuntimeError> {
        Err(RuntimeError::Unsupported { handler: self.handler(), what: NO_USERS })
    }

    /// Makes those namespaces of a pod's users that are missing, before its sandbox and its network.
    async fn ensure_users(&self, _users: &PodUsers) -> Result<(), RuntimeError> {
        Err(RuntimeError::Unsupported { handler: self.handler(), what: NO_USERS })
    }

    /// Sets up what the pod's containers of this runtime share, or changes its limits.
    async fn ensure_sandbox(&self, sandbox: &SandboxSpec) -> Result<(), RuntimeError>;

    /// Tears the sandbox down; its containers must be gone or are removed with it.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// Creates a container without starting it.
    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError>;

    /// Starts a created container. Returns once it runs (wasi:http: once its listener accepts connections).
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Changes the limits of a running container, whose program goes on. What its program would be ended for is refused.
    async fn update(&self, id: &ContainerId, limits: &Resources) -> Result<(), RuntimeError>;

    /// Has a running container run on these processors. A runtime whose containers are no processes has nothing to do.
    async fn set_cpus(&self, _id: &ContainerId, _cpus: &CpuSet) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// What the container's program took of the node's disk outside of its mounts and its log.
    async fn disk_usage(&self, id: &ContainerId) -> Result<DiskUsage, RuntimeError>;

    /// What a running container takes of the machine.
    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError>;

    /// Asks the container to end (SIGTERM), and after `grace` makes it (SIGKILL). Returns once it has ended.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Removes an ended container; a running one is killed first.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Runs a command beside the program of a running container, as the container's user, with its environment,
    /// directory, capabilities and limits. Returns once the command runs; it ends when its [`Execution`] is dropped.
    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Execution, RuntimeError>;

    /// Joins the streams of a running container's program: what it writes from then on and, if `stdin` is wanted and the
    /// container takes any, its input. Ends with the program.
    async fn attach(&self, id: &ContainerId, stdin: bool) -> Result<Execution, RuntimeError>;

    /// All containers there are, also those an earlier process of the agent started.
    async fn list(&self) -> Result<Vec<ContainerStatus>, RuntimeError>;

    /// Those of one sandbox; what that costs does not depend on the others.
    async fn list_of(&self, sandbox: &SandboxId) -> Result<Vec<ContainerStatus>, RuntimeError>;

    /// Wakes the caller after a change; a lagging receiver lists again.
    fn events(&self) -> broadcast::Receiver<RuntimeEvent>;
}

/// "Look again": the container changed state by itself (exited, was killed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// The container that changed.
    pub id: ContainerId,
}

/// Why a call failed. Messages speak for a person reading a Pod's events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The runtime cannot run anything on this machine.
    #[error("runtime {handler:?} is not available: {reason}")]
    Unavailable {
        /// The runtime's handler name.
        handler: &'static str,
        /// What is missing and how to get it.
        reason: String,
    },
    /// The program that was asked for is not on this machine. In containerd's words.
    #[error("no runtime for {0:?} is configured")]
    NoProgram(String),
    /// The image cannot be run; trying again will not help.
    #[error("invalid image {digest}: {reason}")]
    InvalidImage {
        /// The digest of the offending content.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The container's configuration cannot be honoured.
    #[error("container {id}: {reason}")]
    InvalidSpec {
        /// The container.
        id: ContainerId,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The image's program asks for what its pod does not give.
    #[error("container {id}: {reason}")]
    NotGranted {
        /// The container.
        id: ContainerId,
        /// What it asks for, and what would give it.
        reason: String,
    },
    /// No such container.
    #[error("container {0} does not exist")]
    NotFound(ContainerId),
    /// The runtime cannot do this for any of its containers.
    #[error("{what} is not supported by the runtime {handler:?}")]
    Unsupported {
        /// The runtime's handler name.
        handler: &'static str,
        /// What was asked: `exec`, `attach`.
        what: &'static str,
    },
    /// The container's program does not run.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done: `read`, `create directory`.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A step of running the container failed.
    #[error("{step} failed: {reason}")]
    Failed {
        /// The step: `runc create`, `bind 10.0.0.7:80`.
        step: String,
        /// What the step said.
        reason: String,
    },
}
