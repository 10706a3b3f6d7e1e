//! What the node gives a pod and its containers: what they asked for when the pod came, and what they ask for since, where there
//! is room for it.
//!
//! ```text
//! asked for --there is room--> given --resized, or started again--> applied
//!         \--there is none--> pending: Deferred, or Infeasible on this node
//! ```
//! Everything but this module sees a pod only as it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::resources;
use crate::allocations::{Allocation, Allocations, Amounts};
use crate::events::{Happening, Severity};

/// What a pod and its containers have.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    /// The containers, by name.
    pub(super) by_name: BTreeMap<String, ResourceRequirements>,
    /// The pod itself, if something is said of it.
    pub(super) own: Option<ResourceRequirements>,
}

/// What a pod and its containers were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    sizes: Sizes,
    /// The generation of the pod that asked for it, if it asked for something else before.
    pub(super) generation: Option<i64>,
    /// What it asks for in vain.
    pub(super) pending: Option<Pending>,
}

/// A wish that is not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// `Deferred` or `Infeasible`.
    pub(super) reason: &'static str,
    /// What there is too little of.
    pub(super) message: String,
    /// The generation of the pod that asks for it.
    pub(super) generation: Option<i64>,
}

/// What there is for pods, and what others have of it.
pub(super) struct Room<'a> {
    /// What all pods were given.
    pub(super) allocations: &'a Allocations,
    /// What pods may use of the node.
    pub(super) allocatable: Amounts,
    /// Whether the pod's containers have processors for themselves, as many as they began with.
    pub(super) fixes_cpus: bool,
}

impl Given {
    /// What the API recorded of a pod, else what it asks for.
    pub(super) fn recall(pod: &Pod) -> Self {
        let Sizes { mut by_name, own } = asked(pod);
        let status = pod.status.as_ref();
        let recorded = || status.and_then(|status| status.resources.clone());
        let own = own.map(|asked| recorded().unwrap_or(asked));
        let lists = status.map(|status| [&status.init_container_statuses, &status.container_statuses]);
        for recorded in lists.into_iter().flatten().flatten().flatten() {
            if let (Some(given), Some(resources)) = (by_name.get_mut(&recorded.name), &recorded.resources) {
                given.clone_from(resources);
            }
        }
        Self { sizes: Sizes { by_name, own }, generation: None, pending: None }
    }

    /// Gives the pod what it asks for, if there is room; answers what is to be told of that.
    pub(super) fn follow(&mut self, uid: &str, desired: &Pod, room: &Room<'_>) -> Option<Happening> {
        let is_known = |container: &Container| self.sizes.by_name.contains_key(&container.name);
        if containers(desired).all(is_known) && self.is_as_asked(desired) {
            self.pending = None;
            return None;
        }
        let generation = desired.metadata.generation;
        match self.refusal(uid, desired, room) {
            None => {
                (self.sizes, self.generation, self.pending) = (asked(desired), generation, None);
                let message = told("Pod resize started", desired, generation, None);
                Some(Happening::of_pod(Severity::Normal, "ResizeStarted", message))
            }
            Some((reason, message)) => {
                let event = if reason == "Deferred" { "ResizeDeferred" } else { "ResizeInfeasible" };
                let text = told(&format!("Pod resize {reason}"), desired, generation, Some(&message));
                let pending = Some(Pending { reason, message, generation });
                let is_new = self.pending != pending;
                self.pending = pending;
                is_new.then(|| Happening::of_pod(Severity::Warning, event, text))
            }
        }
    }

    /// Why the pod cannot have what it asks for, in upstream's words.
    fn refusal(&self, uid: &str, desired: &Pod, room: &Room<'_>) -> Option<(&'static str, String)> {
        let requests = resources::requests(desired);
        let had = resources::requests(&self.apply(desired));
        let all = room.allocatable;
        if room.fixes_cpus && requests.cpu != had.cpu {
            let message = "Resize is infeasible for Guaranteed Pods alongside CPU Manager policy \"static\"";
            return Some(("Infeasible", message.to_owned()));
        }
        let kinds =
            [("memory", requests.memory, had.memory, all.memory), ("cpu", requests.cpu, had.cpu, all.cpu)];
        if let Some((kind, wanted, _, all)) =
            kinds.iter().find(|(_, wanted, had, all)| wanted > had && wanted > all)
        {
            let message =
                format!("Node didn't have enough capacity: {kind}, requested: {wanted}, capacity: {all}");
            return Some(("Infeasible", message));
        }
        let used = room.allocations.try_note(uid, Allocation::of(desired, requests), (had, all)).err()?;
        let short = |wanted: u64, had: u64, used: u64, all: u64| wanted > had && wanted + used > all;
        let (kind, wanted, used, all) = if short(requests.cpu, had.cpu, used.cpu, all.cpu) {
            ("cpu", requests.cpu, used.cpu, all.cpu)
        } else {
            ("memory", requests.memory, used.memory, all.memory)
        };
        let message = format!(
            "Node didn't have enough resource: {kind}, requested: {wanted}, used: {used}, capacity: {all}"
        );
        Some(("Deferred", message))
    }

    /// The pod as it was given.
    pub(super) fn apply(&self, pod: &Pod) -> Pod {
        with(pod, &self.sizes)
    }

    /// The same; without a copy, if the pod has what it asks for.
    pub(super) fn view(&self, pod: Arc<Pod>) -> Arc<Pod> {
        if self.is_as_asked(&pod) { pod } else { Arc::new(self.apply(&pod)) }
    }

    fn is_as_asked(&self, pod: &Pod) -> bool {
        !containers(pod).any(|container| self.differs(container))
            && has_as_a_whole(pod, self.sizes.own.as_ref())
    }

    /// Whether a container was given something else than it asks for.
    fn differs(&self, container: &Container) -> bool {
        let nothing = ResourceRequirements::default();
        let asked = container.resources.as_ref().unwrap_or(&nothing);
        self.sizes.by_name.get(&container.name).is_some_and(|given| !same(given, asked))
    }
}

/// Whether the pod would have as much as a whole if it had this itself instead of what it says.
pub(super) fn has_as_a_whole(pod: &Pod, own: Option<&ResourceRequirements>) -> bool {
    let asked = own_of(pod);
    if asked == own {
        return true;
    }
    let mut other = pod.clone();
    if let Some(spec) = &mut other.spec {
        spec.resources = own.cloned();
    }
    resources::requests(pod) == resources::requests(&other)
        && resources::of_pod(pod) == resources::of_pod(&other)
}

/// What the pod says of itself.
pub(super) fn own_of(pod: &Pod) -> Option<&ResourceRequirements> {
    pod.spec.as_ref()?.resources.as_ref()
}

/// The pod, with these sizes in the place of what it asks for.
pub(super) fn with(pod: &Pod, sizes: &Sizes) -> Pod {
    let mut pod = pod.clone();
    if let Some(spec) = &mut pod.spec {
        spec.resources.clone_from(&sizes.own);
        for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            if let Some(resources) = sizes.by_name.get(&container.name) {
                container.resources = Some(resources.clone());
            }
        }
    }
    pod
}

/// What the pod and its containers ask for.
fn asked(pod: &Pod) -> Sizes {
    let one =
        |container: &Container| (container.name.clone(), container.resources.clone().unwrap_or_default());
    Sizes { by_name: containers(pod).map(one).collect(), own: own_of(pod).cloned() }
}

/// The containers that resources can be asked for.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// Whether both are the same amounts of processors and memory, whatever they look like.
pub(super) fn same(one: &ResourceRequirements, other: &ResourceRequirements) -> bool {
    one == other || differing(one, other).next().is_none()
}

/// Which of processors and memory differ.
pub(super) fn differing(
    one: &ResourceRequirements,
    other: &ResourceRequirements,
) -> impl Iterator<Item = &'static str> {
    let amount = |list: &Option<BTreeMap<String, Quantity>>, name: &str| -> Option<i128> {
        let quantity: wherry_api::quantity::Quantity = list.as_ref()?.get(name)?.0.parse().ok()?;
        Some(quantity.as_nanos())
    };
    let amounts =
        move |of: &ResourceRequirements, name: &str| (amount(&of.requests, name), amount(&of.limits, name));
    ["cpu", "memory"].into_iter().filter(move |name| amounts(one, name) != amounts(other, name))
}

/// What an event says of a resize: `Pod resize started: {"containers":[..],"generation":2}`.
pub(super) fn told(what: &str, pod: &Pod, generation: Option<i64>, error: Option<&str>) -> String {
    let list = |containers: &[Container]| -> Vec<Value> {
        let one = |container: &Container| {
            let resources = container.resources.clone().unwrap_or_default();
            json!({ "name": container.name, "resources": resources })
        };
        containers.iter().map(one).collect()
    };
    let spec = pod.spec.as_ref();
    let mut summary = json!({
        "containers": list(spec.map(|spec| spec.containers.as_slice()).unwrap_or_default()),
        "generation": generation.unwrap_or_default(),
    });
    if let Some(init) = spec.and_then(|spec| spec.init_containers.as_ref()).filter(|init| !init.is_empty()) {
        summary["initContainers"] = json!(list(init));
    }
    if let Some(own) = own_of(pod) {
        summary["resources"] = json!(own);
    }
    if let Some(error) = error {
        summary["error"] = json!(error);
    }
    format!("{what}: {summary}")
}
