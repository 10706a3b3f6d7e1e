//! Who has which device, in memory and on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use wherry_plugin_api::device::{ContainerAllocateResponse, HEALTHY, Options};
use wherry_runtime_api::Device;

use super::cdi::ANNOTATION;
use crate::checkpoint;
use crate::pods::passing_inits;
use crate::resource_managers::{Hints, NumaNodes, hints};
use crate::volumes::WriteError;

const FILE: &str = "wherry_checkpoint.json";

/// What a plugin that is there offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    pub(super) socket: PathBuf,
    pub(super) options: Options,
    /// Its devices.
    pub(super) devices: BTreeMap<String, Offered>,
}

/// A device that is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// Whether it can be given to containers.
    pub(super) healthy: bool,
    /// The NUMA nodes it is near; none if that does not matter.
    pub(super) nodes: NumaNodes,
}

impl Offer {
    /// The same, with these devices.
    pub(super) fn with(&self, devices: wherry_plugin_api::device::Devices) -> Self {
        let devices = devices.devices.into_iter().map(|device| {
            let near = device.topology.unwrap_or_default().nodes;
            let nodes = near.into_iter().map(|node| NumaNodes::of(node.id)).collect();
            (device.id, Offered { healthy: device.health == HEALTHY, nodes })
        });
        Self { devices: devices.collect(), ..self.clone() }
    }
}

/// Devices that a container has, and what it needs to use them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) devices: Vec<String>,
    pub(super) needs: Needs,
}

/// What a plugin answered for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Needs {
    pub(super) env: BTreeMap<String, String>,
    /// Paths on the node and in the container, and whether the container only reads.
    pub(super) mounts: Vec<(PathBuf, String, bool)>,
    pub(super) devices: Vec<Device>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Names of devices that files of the Container Device Interface describe.
    #[serde(default)]
    pub(super) cdi: Vec<String>,
}

/// A device of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its resource.
    pub(crate) resource: String,
    /// Its name.
    pub(crate) device: String,
    /// The NUMA nodes it is near, as far as its plugin tells now.
    pub(crate) nodes: NumaNodes,
}

impl Needs {
    pub(super) fn of(response: ContainerAllocateResponse) -> Self {
        let mounts = response.mounts.into_iter();
        let devices = response.devices.into_iter();
        Self {
            env: response.envs,
            cdi: response.cdi_devices.into_iter().map(|one| one.name).collect(),
            annotations: response.annotations,
            mounts: mounts.map(|one| (one.host_path.into(), one.container_path, one.read_only)).collect(),
            devices: devices
                .map(|one| Device {
                    host_path: one.host_path.into(),
                    container_path: one.container_path,
                    permissions: one.permissions,
                })
                .collect(),
        }
    }
}

impl Needs {
    /// The devices it is to have by their names in files, also where annotations name them, as older plugins have it.
    pub(super) fn cdi_names(&self) -> Vec<String> {
        let annotated = self.annotations.iter().filter(|(key, _)| key.starts_with(ANNOTATION));
        let annotated = annotated.flat_map(|(_, names)| names.split(',').map(str::trim));
        let mut names = self.cdi.clone();
        names.extend(annotated.filter(|name| !self.cdi.iter().any(|one| one == name)).map(str::to_owned));
        names
    }
}

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// By uid, container and resource.
    given: BTreeMap<String, BTreeMap<String, BTreeMap<String, Given>>>,
    /// All resources there were: their amount in the Node has to be set to nothing where no plugin offers any.
    resources: BTreeSet<String>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct State {
    kept: Checkpoint,
    offers: BTreeMap<String, Offer>,
}

/// Devices that a container may be given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Those of init containers of its pod, which come first.
    reusable: Vec<String>,
    free: Vec<String>,
}

impl Choice {
    pub(super) fn len(&self) -> usize {
        self.reusable.len() + self.free.len()
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.reusable.iter().chain(&self.free).cloned().collect()
    }

    /// So many of them.
    pub(super) fn first(&self, count: usize) -> Vec<String> {
        self.all().into_iter().take(count).collect()
    }

    /// Those among so many that have to be taken.
    pub(super) fn reused(&self, count: usize) -> Vec<String> {
        self.reusable.iter().take(count).cloned().collect()
    }

    /// Those alone of which this is true, if there are so many of them; else they come first.
    fn first_those(self, is_near: impl Fn(&String) -> bool, count: usize) -> Self {
        let (near, far): (Vec<_>, Vec<_>) = self.free.into_iter().partition(&is_near);
        let (reusable, other): (Vec<_>, Vec<_>) = self.reusable.into_iter().partition(&is_near);
        if near.len() + reusable.len() >= count {
            return Self { reusable, free: near };
        }
        let chain = |one: Vec<String>, more: Vec<String>| one.into_iter().chain(more).collect();
        Self { reusable: chain(reusable, other), free: chain(near, far) }
    }

    /// So many, with those that are preferred where they may be given.
    pub(super) fn preferring(&self, preferred: &[String], count: usize) -> Vec<String> {
        let all = self.all();
        let must = self.reused(count);
        let liked = preferred.iter().filter(|device| all.contains(device));
        let mut chosen = Vec::new();
        for device in must.iter().chain(liked).chain(&all) {
            if chosen.len() < count && !chosen.contains(device) {
                chosen.push(device.clone());
            }
        }
        chosen
    }
}

impl State {
    /// What an earlier agent wrote down.
    pub(super) fn read(directory: &Path) -> Result<Self, WriteError> {
        Ok(Self { kept: checkpoint::read(&directory.join(FILE))?, offers: BTreeMap::new() })
    }

    /// Writes down what is to outlive the agent.
    pub(super) fn write(&self, directory: &Path) -> Result<(), WriteError> {
        checkpoint::write(&directory.join(FILE), &self.kept)
    }

    /// What is offered now, or that nothing is any more: whoever has devices keeps them.
    pub(super) fn offer(&mut self, resource: &str, offer: Option<Offer>) {
        self.kept.resources.insert(resource.to_owned());
        match offer {
            Some(offer) => drop(self.offers.insert(resource.to_owned(), offer)),
            None => drop(self.offers.remove(resource)),
        }
    }

    pub(super) fn offered(&self, resource: &str) -> Option<&Offer> {
        self.offers.get(resource)
    }

    /// Whether a plugin offers the resource, or one did.
    pub(super) fn knows(&self, resource: &str) -> bool {
        self.kept.resources.contains(resource)
    }

    pub(super) fn counts(&self) -> BTreeMap<String, (usize, usize)> {
        let count = |resource: &String| {
            let devices = self.offers.get(resource).map(|offer| &offer.devices);
            let healthy =
                devices.map_or(0, |devices| devices.values().filter(|device| device.healthy).count());
            (resource.clone(), (devices.map_or(0, BTreeMap::len), healthy))
        };
        self.kept.resources.iter().map(count).collect()
    }

    /// What the container was given of the resource.
    pub(super) fn given(&self, pod: &Pod, container: &str, resource: &str) -> Option<&Given> {
        self.kept.given.get(uid(pod))?.get(container)?.get(resource)
    }

    pub(super) fn give(&mut self, pod: &Pod, container: &str, resource: &str, given: Given) {
        let of_pod = self.kept.given.entry(uid(pod).to_owned()).or_default();
        of_pod.entry(container.to_owned()).or_default().insert(resource.to_owned(), given);
    }

    /// Forgets what the pod was given; says whether it was given something.
    pub(super) fn release(&mut self, uid: &str) -> bool {
        self.kept.given.remove(uid).is_some()
    }

    /// The devices that the container has.
    pub(super) fn held(&self, uid: &str, container: &str) -> Vec<Held> {
        let given = self.kept.given.get(uid).and_then(|containers| containers.get(container));
        let all = given.into_iter().flatten();
        all.flat_map(|(resource, given)| given.devices.iter().map(move |device| self.known(resource, device)))
            .collect()
    }

    /// All devices that are healthy.
    pub(super) fn healthy(&self) -> Vec<Held> {
        let healthy = |offer: &Offer| -> Vec<String> {
            let devices = offer.devices.iter().filter(|(_, device)| device.healthy);
            devices.map(|(name, _)| name.clone()).collect()
        };
        let all = self.offers.iter().flat_map(|(resource, offer)| {
            healthy(offer).into_iter().map(move |device| self.known(resource, &device))
        });
        all.collect()
    }

    fn known(&self, resource: &str, device: &str) -> Held {
        let offered = self.offers.get(resource).and_then(|offer| offer.devices.get(device));
        let nodes = offered.map(|device| device.nodes).unwrap_or_default();
        Held { resource: resource.to_owned(), device: device.to_owned(), nodes }
    }

    /// The Pods that have some.
    pub(super) fn holders(&self) -> Vec<String> {
        self.kept.given.keys().cloned().collect()
    }

    /// Where so many devices are best taken from for a container that has none yet, or for a whole Pod; nowhere in particular if
    /// it is not known of any where it is.
    pub(super) fn hints(
        &self,
        pod: &Pod,
        container: &str,
        (resource, wanted): (&str, usize),
        all: NumaNodes,
    ) -> Hints {
        let devices = &self.offers.get(resource)?.devices;
        let is_known = devices.values().any(|device| !device.nodes.is_empty());
        if !is_known || self.given(pod, container, resource).is_some() {
            return None;
        }
        let free = self.choose(pod, container, resource).all();
        let near =
            |nodes: NumaNodes| devices.iter().filter(move |(_, device)| !device.nodes.and(nodes).is_empty());
        let is_free = |(name, _): &(&String, &Offered)| free.contains(name);
        Some(hints(all, wanted, |nodes| near(nodes).count(), |nodes| near(nodes).filter(is_free).count()))
    }

    /// The devices of the resource that the container may be given, of these nodes where there are enough of them.
    pub(super) fn choose_near(
        &self,
        pod: &Pod,
        container: &str,
        (resource, wanted): (&str, usize),
        nodes: Option<NumaNodes>,
    ) -> Choice {
        let all = self.choose(pod, container, resource);
        let (Some(nodes), Some(offer)) = (nodes, self.offers.get(resource)) else { return all };
        let near = |name: &String| offer.devices.get(name).is_some_and(|it| !it.nodes.and(nodes).is_empty());
        all.first_those(near, wanted)
    }

    /// The devices of the resource that the container may be given.
    pub(super) fn choose(&self, pod: &Pod, container: &str, resource: &str) -> Choice {
        let Some(offer) = self.offers.get(resource) else { return Choice::default() };
        let ended = passing_inits(pod).filter(|name| *name != container).collect::<BTreeSet<_>>();
        let (mut taken, mut left) = (BTreeSet::new(), BTreeSet::new());
        for (of, containers) in &self.kept.given {
            for (name, given) in containers {
                let is_left = of == uid(pod) && ended.contains(name.as_str());
                let devices = given.get(resource).into_iter().flat_map(|given| &given.devices);
                if is_left { left.extend(devices) } else { taken.extend(devices) }
            }
        }
        let healthy = offer.devices.iter().filter(|(_, device)| device.healthy).map(|(name, _)| name);
        let open = healthy.filter(|device| !taken.contains(device));
        let (reusable, free) = open.cloned().partition(|device| left.contains(device));
        Choice { reusable, free }
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
