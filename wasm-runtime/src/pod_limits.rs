//! What the containers of a Pod may take together: each may use what the others leave of it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use wherry_runtime_api::{Resources, SandboxId, SandboxSpec};

use crate::bandwidth::Quota;
use crate::memory::{Budget, LimitExceeded};
use crate::processor::Processor;
use crate::turns::Turns;

/// The limits of all Pods.
#[derive(Debug)]
pub(crate) struct AllLimits {
    turns: Arc<Turns>,
    by_pod: Mutex<HashMap<SandboxId, PodLimits>>,
}

/// The limits of one Pod as a whole.
#[derive(Clone, Debug)]
pub(crate) struct PodLimits {
    turns: Arc<Turns>,
    memory: Arc<Budget>,
    quota: Arc<Quota>,
}

impl AllLimits {
    /// Of no Pod yet; guests of all take these turns.
    pub(crate) fn new(turns: Arc<Turns>) -> Self {
        Self { turns, by_pod: Mutex::default() }
    }

    /// Those of the Pod; one that was not seen before has what its sandbox says.
    pub(crate) fn of(&self, sandbox: &SandboxSpec) -> PodLimits {
        let mut by_pod = self.by_pod.lock();
        let new = || PodLimits::new(Arc::clone(&self.turns), &sandbox.resources);
        by_pod.entry(sandbox.id.clone()).or_insert_with(new).clone()
    }

    /// Gives the Pod what its sandbox says, unless its containers have more memory than that.
    pub(crate) fn set(&self, sandbox: &SandboxSpec) -> Result<(), LimitExceeded> {
        let limits = self.of(sandbox);
        limits.memory.set(sandbox.resources.memory_limit_bytes)?;
        limits.quota.set(sandbox.resources.cpu_limit_millis);
        Ok(())
    }

    /// Forgets a Pod that is gone.
    pub(crate) fn remove(&self, id: &SandboxId) {
        self.by_pod.lock().remove(id);
    }
}

impl PodLimits {
    fn new(turns: Arc<Turns>, limits: &Resources) -> Self {
        let memory = Budget::of_pod(limits.memory_limit_bytes);
        Self { turns, memory, quota: Arc::new(Quota::new(limits.cpu_limit_millis)) }
    }

    /// The memory of a container in it.
    pub(crate) fn memory_of(&self, limits: &Resources) -> Arc<Budget> {
        Budget::of_container(limits.memory_limit_bytes, Arc::clone(&self.memory))
    }

    /// The processor time of a container in it.
    pub(crate) fn processor_of(&self, limits: &Resources) -> Arc<Processor> {
        Processor::new(Arc::clone(&self.turns), limits, Arc::clone(&self.quota))
    }
}
