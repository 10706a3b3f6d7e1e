//! Pods: one worker per Pod bound to this node.
//!
//! # Flow
//! [`Supervisor::run`] watches the Pods of this node and hands each to its [`worker::Worker`]. A worker observes
//! (the Pod, its containers, its memory), lets the pure [`plan`] decide, and starts the steps the plan asks for. Static Pods are run
//! alike; what the API is told of them is told of their mirrors.
//!
//! # Guarantees
//! - One worker per pod uid; a Pod of the same name created anew is another pod.
//! - Containers, addresses, volumes and logs of pods that went away while the agent did not run are removed after
//!   the first list.
//!
//! Reading order: `specs`, `memory`, `life` (what is known), `plan`, `ending` (what to do), `status`, `conditions` (what to
//! report), `worker`, `jobs` (doing it), `writer` (when to report).

mod admitting;
mod allocation;
mod backoff;
mod conditions;
mod ending;
mod hooks;
mod image_job;
mod image_volumes;
mod jobs;
mod last_words;
mod launch;
mod life;
mod memory;
mod patch;
mod plan;
mod pod_files;
mod probing;
mod qos;
mod rerun;
mod resize;
mod resources;
mod restarts;
mod security;
mod specs;
mod status;
mod storage;
mod supervisor;
#[cfg(test)]
mod tests;
mod told;
mod transitions;
mod worker;
mod writer;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

pub(crate) use jobs::remove_attempt;
pub(crate) use life::container_id;
pub(crate) use plan::grace_of as termination_grace;
pub(crate) use qos::qos_class;
pub(crate) use resources::{at_once, requests, whole_processors};
pub(crate) use specs::{find_container, passing_inits};
pub(crate) use storage::{Usage as DiskUsage, disk_usage};
pub(crate) use supervisor::{PodIndex, Supervisor};

use crate::static_pods::is_static;

/// What is asked for: the newest state of the Pod object.
#[derive(Clone, Debug)]
struct Desired {
    /// The Pod as it was last seen.
    pod: Arc<Pod>,
    /// What the API shows of it, if it is static.
    mirror: Option<Arc<Pod>>,
    /// Whether it is gone.
    gone: bool,
}

impl Desired {
    /// The API's object of the pod; `None` if a static one has no mirror now.
    fn object(&self) -> Option<&Arc<Pod>> {
        if is_static(&self.pod) { self.mirror.as_ref() } else { Some(&self.pod) }
    }
}
