//! What a worker does about the resources of its pod: gives them, and lets containers have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use wherry_runtime_api::{ContainerId, Resources};

use super::Worker;
use crate::allocations::Allocation;
use crate::pods::allocation::{self, Room, Sizes};
use crate::pods::backoff::setup_delay;
use crate::pods::memory::{Failure, Step};
use crate::pods::{resize, resources, specs};
use crate::runtimes::Handler;

impl Worker {
    /// The pod as it was given what it asks for, now or before.
    pub(super) fn give(&mut self, pod: Arc<Pod>, gone: bool) -> Arc<Pod> {
        if !gone && self.memory.ending_since.is_none() {
            let room = Room {
                allocations: &self.ctx.allocations,
                allocatable: self.ctx.allocatable_amounts,
                fixes_cpus: self.ctx.managers.fixes_cpus(&pod),
            };
            if let Some(happening) = self.memory.given.follow(&self.uid, &pod, &room) {
                self.ctx.events.pod(&pod, happening);
            }
        }
        self.memory.given.view(pod)
    }

    /// What the pod needs of its group while its containers run with what they have.
    pub(super) fn spanned(&self, pod: &Pod) -> Resources {
        let containers = self.ctx.containers.of_pod(&self.uid);
        let is_running = |name: &str, attempt: u32| {
            let same = |id: &ContainerId| id.name == name && id.attempt == attempt;
            containers.iter().any(|running| running.is_running() && same(&running.status.id))
        };
        let applied = self.memory.containers.iter().filter_map(|(name, memory)| {
            let (attempt, applied) = memory.applied.as_ref()?;
            is_running(name, *attempt).then(|| (name.clone(), applied.clone()))
        });
        let by_name: BTreeMap<_, _> = applied.collect();
        let own = if by_name.is_empty() { allocation::own_of(pod) } else { self.memory.own_applied.as_ref() };
        let as_applied = allocation::with(pod, &Sizes { own: own.cloned(), by_name });
        resources::widest(resources::of_pod(pod), resources::of_pod(&as_applied))
    }

    pub(super) fn resize(&mut self, pod: &Pod, containers: Vec<(ContainerId, Handler)>, narrows: bool) {
        let Some(network) = self.memory.network.done() else { return };
        let wide = self.spanned(pod);
        let own = allocation::own_of(pod);
        let given = |(id, handler): (ContainerId, Handler)| {
            let container = specs::find_container(pod, &id.name)?;
            let given = resources::with_limits_of_pod(container.resources.as_ref(), own).into_owned();
            Some((id, handler, given))
        };
        let running = self.ctx.containers.of_pod(&self.uid);
        let order = resize::Order {
            sandbox: network.sandbox.clone(),
            limits: (wide, if narrows { resources::of_pod(pod) } else { wide }),
            handlers: running.iter().filter(|one| one.is_running()).map(|one| one.handler).collect(),
            containers: containers.into_iter().filter_map(given).collect(),
            own: if narrows { own.cloned() } else { self.memory.own_applied.clone() },
        };
        self.memory.resize = Step::Busy;
        let ctx = self.ctx.clone();
        self.jobs.spawn(async move { Some(resize::run(ctx, order).await) });
    }

    pub(super) fn resized(
        &mut self,
        applied: Vec<(ContainerId, ResourceRequirements)>,
        result: Result<Option<ResourceRequirements>, String>,
        now: Timestamp,
    ) {
        for (id, resources) in applied {
            self.memory.container(&id.name).applied = Some((id.attempt, resources));
        }
        let memory = &mut self.memory;
        match result {
            Ok(own) => {
                (memory.resize, memory.resize_failures) = (Step::Idle, 0);
                memory.own_applied = own;
            }
            Err(message) => {
                let failure = ("ResizeError", message);
                memory.resize = Failure::after(Some(memory.resize_failures), failure, now, setup_delay);
                memory.resize_failures += 1;
            }
        }
    }

    /// Notes what the pod has of the node, until everything of it is given back.
    pub(super) fn allocate(&self, pod: &Pod) {
        if self.memory.final_status.is_some() {
            self.ctx.allocations.release(&self.uid);
            return;
        }
        self.ctx.allocations.note(&self.uid, Allocation::of(pod, resources::requests(pod)));
    }
}
