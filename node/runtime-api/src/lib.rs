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
//! Reading order: [`spec`] (what is asked), [`status`] (what exists), [`CommonEnv`], [`Runtime`] (the calls), [`exec`] (commands beside a
//! container's program) with its [`terminal`], [`CpuSet`], [`huge_pages`], [`logs`], [`disk`], [`mounts`].
//!
//! Without the feature `contract` there is no more than logs, mounts and the reasons of exits, for programs that must stay small.

#[cfg(feature = "contract")]
mod common_env;
#[cfg(feature = "contract")]
mod cpu_set;
pub mod disk;
#[cfg(feature = "contract")]
pub mod exec;
mod exit_reason;
#[cfg(feature = "contract")]
pub mod huge_pages;
pub mod logs;
pub mod mounts;
#[cfg(feature = "contract")]
mod runtime;
#[cfg(feature = "contract")]
pub mod spec;
#[cfg(feature = "contract")]
pub mod status;
#[cfg(feature = "contract")]
pub mod terminal;
#[cfg(feature = "contract")]
mod usage;

#[cfg(feature = "contract")]
pub use common_env::{CommonEnv, Variable};
#[cfg(feature = "contract")]
pub use cpu_set::{CpuSet, CpuSetError};
#[cfg(feature = "contract")]
pub use exec::{ExecSpec, Execution};
pub use exit_reason::ExitReason;
#[cfg(feature = "contract")]
pub use runtime::{Runtime, RuntimeError, RuntimeEvent};
#[cfg(feature = "contract")]
pub use spec::{
    AppArmor, Confinement, ContainerId, ContainerSpec, Device, DnsConfig, Hook, HookStage, ImageContent,
    Mount, MountOptions, NodeNamespaces, PodUsers, Propagation, Resources, SandboxId, SandboxSpec, Seccomp,
    Streams, UserSpec,
};
#[cfg(feature = "contract")]
pub use status::{ContainerState, ContainerStatus, User};
#[cfg(feature = "contract")]
pub use usage::Usage;
