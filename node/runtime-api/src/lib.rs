//! The contract between the node agent and a container runtime.
//!
//! A runtime knows containers, sandboxes and image content on disk; it knows no Kubernetes. The node
//! agent translates Pods into these types and container statuses back into Pod status.
//!
//! # Guarantees every runtime gives
//! - Calls are idempotent: repeating one that succeeded succeeds and changes nothing.
//! - Ids are chosen by the caller ([`ContainerId`] is derived from pod uid, container name and attempt), so
//!   a call whose answer was lost can be repeated.
//! - [`Runtime::list`] is the truth; an event from [`Runtime::events`] only says "look again".
//! - A container's output goes to [`ContainerSpec::log_path`] in the CRI log format ([`logs`]).
//!
//! Reading order: [`spec`] (what is asked), [`status`] (what exists), [`Runtime`] (the calls), [`exec`] (commands beside a
//! container's program) with its [`terminal`], [`logs`], [`disk`], [`mounts`].

pub mod disk;
pub mod exec;
pub mod logs;
pub mod mounts;
mod runtime;
pub mod spec;
pub mod status;
pub mod terminal;
mod usage;

pub use exec::{ExecSpec, Execution};
pub use runtime::{Runtime, RuntimeError, RuntimeEvent};
pub use spec::{
    Confinement, ContainerId, ContainerSpec, Device, DnsConfig, ImageContent, Mount, MountOptions,
    NodeNamespaces, Propagation, Resources, SandboxId, SandboxSpec, Seccomp, Streams, UserSpec,
};
pub use status::{ContainerState, ContainerStatus, ExitReason, User};
pub use usage::Usage;
