//! What containers have for themselves: devices of plugins and processors, given when the node takes a Pod.
//!
//! ```text
//! (Pod comes) -> hints of devices and processors -> NUMA nodes -> all that its containers are to have -> taken
//!                     \-> none that serve all ------------------> TopologyAffinityError
//!                                                \-> not there -> UnexpectedAdmissionError
//! ```
//! # Guarantees
//! - A Pod starts with all that its containers are to have for themselves, or fails before anything of it starts.
//! - It does not fail for something that a Pod has which is ending, or of which nothing is known yet: it waits until that is back.
//!
//! Reading order: [`settings`] (what the node's owner wants), [`numa`] (hints, and which nodes follow from them), [`topology`] (the
//! machine), [`cpus`]; devices have a module of their own.

mod cpus;
mod numa;
mod settings;
#[cfg(test)]
mod testing;
mod topology;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::admission::Rejection;
use crate::cgroups::GUARANTEED;
use crate::context::chain;
use crate::devices::Devices;
use crate::pods::{at_once, qos_class};
use crate::volumes::WriteError;
pub(crate) use cpus::{Cpus, keep};
use numa::NotAligned;
pub(crate) use numa::{Hints, NumaNodes, hints};
pub use settings::{
    CpuPolicy, Reserved, ReservedError, ResourceSettings, ResourceSettingsError, TopologyPolicy,
    TopologyScope, WordError,
};
#[cfg(test)]
pub(crate) use testing::processors;
use topology::Topology;
pub(crate) use topology::numa_nodes;

/// What gives containers what they have for themselves.
#[derive(Debug)]
pub(crate) struct ResourceManagers {
    devices: Arc<Devices>,
    cpus: Option<Cpus>,
    nodes: NumaNodes,
    policy: TopologyPolicy,
    scope: TopologyScope,
    /// One Pod at a time: what is found free must be so until it is given.
    admitting: tokio::sync::Mutex<()>,
    /// The Pods that go on, as far as they are known.
    live: Mutex<BTreeSet<String>>,
    /// Counted up when a Pod gave back what it had, or is known to go on.
    changed: watch::Sender<u64>,
}

/// Why a Pod does not get what it wants.
#[derive(Debug)]
enum Refusal {
    /// It cannot be of the NUMA nodes that it is to be of.
    Affinity,
    /// It is not there, or cannot be given.
    Failed(String),
}

impl ResourceManagers {
    /// Those of a node whose directory this is.
    pub(crate) fn open(
        directory: &Path,
        devices: Arc<Devices>,
        settings: &ResourceSettings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let needs_topology =
            settings.cpu_policy != CpuPolicy::None || settings.topology_policy != TopologyPolicy::None;
        let topology = if needs_topology { Topology::observe()? } else { Topology::default() };
        let topology =
            if settings.topology_policy == TopologyPolicy::None { topology } else { topology.checked()? };
        Ok(Self {
            devices,
            nodes: topology.nodes(),
            cpus: Cpus::open(directory, settings, topology)?,
            policy: settings.topology_policy,
            scope: settings.topology_scope,
            admitting: tokio::sync::Mutex::default(),
            live: Mutex::default(),
            changed: watch::Sender::default(),
        })
    }

    /// The processors, if containers can have some for themselves.
    pub(crate) fn cpus(&self) -> Option<&Cpus> {
        self.cpus.as_ref()
    }

    /// Whether a container of the Pod is to have something for itself.
    pub(crate) fn concerns(&self, pod: &Pod) -> bool {
        let wants = |container: &Container| {
            self.exclusive(pod, container) > 0 || !self.devices.wanted(container).is_empty()
        };
        containers(pod).any(wants)
    }

    /// Whether the Pod keeps to the processors that it began with.
    pub(crate) fn fixes_cpus(&self, pod: &Pod) -> bool {
        self.cpus.is_some() && qos_class(pod) == GUARANTEED
    }

    /// A Pod that goes on: nobody waits for what it has.
    pub(crate) fn goes_on(&self, uid: &str) {
        if self.live.lock().insert(uid.to_owned()) {
            self.tell();
        }
    }

    /// A Pod that ends: what it has comes back soon.
    pub(crate) fn ends(&self, uid: &str) {
        self.live.lock().remove(uid);
    }

    /// The Pods that have something.
    pub(crate) fn holders(&self) -> BTreeSet<String> {
        let of_cpus = self.cpus.iter().flat_map(Cpus::holders);
        self.devices.holders().into_iter().chain(of_cpus).collect()
    }

    /// Gives the containers of the Pod all that they are to have for themselves, or nothing.
    pub(crate) async fn admit(&self, pod: &Pod) -> Result<(), Rejection> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            // What comes back while it is looked for counts, too.
            let waits = self.something_comes_back(pod);
            let Err(refusal) = self.try_admit(pod).await else { return Ok(()) };
            if !waits {
                return Err(refusal.rejection());
            }
            // The sender is ours.
            changed.changed().await.ok();
        }
    }

    /// Takes back what the containers of the Pod have.
    pub(crate) fn release(&self, uid: &str) -> Result<(), WriteError> {
        self.take_back(uid)?;
        self.tell();
        Ok(())
    }

    fn take_back(&self, uid: &str) -> Result<(), WriteError> {
        self.devices.release(uid)?;
        self.cpus.as_ref().map_or(Ok(()), |cpus| cpus.release(uid))
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn exclusive(&self, pod: &Pod, container: &Container) -> usize {
        self.cpus.as_ref().map_or(0, |_| cpus::exclusive(pod, container))
    }

    /// Whether Pods have something that are not known to go on.
    fn something_comes_back(&self, pod: &Pod) -> bool {
        let live = self.live.lock();
        let is_going = |uid: &String| pod.metadata.uid.as_ref() != Some(uid) && !live.contains(uid);
        self.holders().iter().any(is_going)
    }

    async fn try_admit(&self, pod: &Pod) -> Result<(), Refusal> {
        let _alone = self.admitting.lock().await;
        let given = self.give_all(pod).await;
        if given.is_err() {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            // Nobody could have had it meanwhile, so nobody is told.
            self.take_back(uid).map_err(|error| Refusal::Failed(chain(&error)))?;
        }
        given
    }

    async fn give_all(&self, pod: &Pod) -> Result<(), Refusal> {
        let together = match self.scope {
            TopologyScope::Pod => Some(self.align(&self.hints_of_pod(pod))?),
            TopologyScope::Container => None,
        };
        for container in containers(pod) {
            let nodes = match together {
                Some(nodes) => nodes,
                None => self.align(&self.hints_of(pod, container))?,
            };
            let given = self.devices.give(pod, container, nodes).await;
            given.map_err(|error| Refusal::Failed(chain(&error)))?;
            if let Some(cpus) = &self.cpus {
                cpus.give(pod, container, nodes).map_err(|error| Refusal::Failed(chain(&error)))?;
            }
        }
        Ok(())
    }

    fn align(&self, lists: &[Hints]) -> Result<Option<NumaNodes>, Refusal> {
        numa::merge(self.policy, self.nodes, lists).map_err(|NotAligned| Refusal::Affinity)
    }

    fn hints_of(&self, pod: &Pod, container: &Container) -> Vec<Hints> {
        if self.policy == TopologyPolicy::None {
            return Vec::new();
        }
        let wanted = self.exclusive(pod, container);
        let of_cpus = self.cpus.iter().map(|cpus| cpus.hints(pod, Some(&container.name), wanted));
        let of_devices = self.devices.wanted(container).into_iter().map(|(resource, count)| {
            self.devices.hints(pod, Some(&container.name), (&resource, count), self.nodes)
        });
        of_cpus.chain(of_devices).collect()
    }

    /// The same of what all containers of the Pod have at once at the worst moment of its life.
    fn hints_of_pod(&self, pod: &Pod) -> Vec<Hints> {
        if self.policy == TopologyPolicy::None {
            return Vec::new();
        }
        let most = |of: &dyn Fn(&Container) -> usize| {
            let count = at_once(pod, |container| Some(of(container) as u64)).unwrap_or(0);
            usize::try_from(count).unwrap_or(usize::MAX)
        };
        let cpus = most(&|container| self.exclusive(pod, container));
        let of_cpus = self.cpus.iter().map(|all| all.hints(pod, None, cpus));
        let resources: BTreeSet<String> = containers(pod)
            .flat_map(|container| self.devices.wanted(container))
            .map(|(name, _)| name)
            .collect();
        let of_devices = resources.into_iter().map(|resource| {
            let wanted = |container: &Container| self.devices.wanted(container).get(&resource).copied();
            let count = most(&|container| wanted(container).unwrap_or(0));
            self.devices.hints(pod, None, (&resource, count), self.nodes)
        });
        of_cpus.chain(of_devices).collect()
    }
}

impl Refusal {
    /// The same in kubelet's words.
    fn rejection(self) -> Rejection {
        match self {
            Self::Affinity => Rejection {
                reason: "TopologyAffinityError",
                message: "Resources cannot be allocated with Topology locality".to_owned(),
            },
            Self::Failed(why) => Rejection {
                reason: "UnexpectedAdmissionError",
                message: format!("Allocate failed due to {why}, which is unexpected"),
            },
        }
    }
}

/// The containers of the Pod in the order in which they start.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}
