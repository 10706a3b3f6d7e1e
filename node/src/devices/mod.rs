//! Devices that plugins offer to containers, as extended resources (`example.com/gpu`).
//!
//! ```text
//! (plugin registers) -> its devices, again and again -> the Node's capacity and allocatable
//! (container starts) -> devices chosen -> Allocate -> written down -> PreStartContainer
//! (all of a pod is given back) -> its devices are free
//! ```
//! # Guarantees
//! - A device is one container's alone, but that containers which start later have those of init containers of their Pod that ended.
//! - What a container was given is written down before it starts: an agent that starts again gives it the same, and nobody else.
//! - A device that is not healthy is given to nobody; who has it keeps it.
//!
//! Reading order: [`Devices`], [`state`] (who has what, which device is next), [`server`] (plugins that register), `endpoint` (one of them).

mod cdi;
mod endpoint;
mod server;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio::sync::watch;
use wherry_plugin_api::device::{
    self, AllocateRequest, AllocateResponse, ContainerAllocateRequest, ContainerPreferredRequest,
    PreStartRequest, PreferredRequest, PreferredResponse,
};
use wherry_plugin_api::grpc::{self, CallError, Message};
use wherry_plugin_api::registration::Empty;
use wherry_runtime_api::{Device, Hook, Mount};

use crate::resource_managers::{Hints, NumaNodes};
use crate::volumes::WriteError;
use cdi::CdiError;
pub(crate) use server::serve;
pub(crate) use state::Held;
use state::{Choice, Given, Needs, Offer, State};

/// How long a plugin may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a container cannot have its devices.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// There are too few.
    #[error("requested number of devices unavailable for {resource}. Requested: {wanted}, Available: {free}")]
    TooFew {
        /// Their resource.
        resource: String,
        /// How many it wants.
        wanted: usize,
        /// How many nobody has.
        free: usize,
    },
    /// The plugin is not there, or none of its devices is well.
    #[error("no healthy devices present; cannot allocate unhealthy devices {0}")]
    NoneHealthy(String),
    /// The plugin refused, or cannot be reached.
    #[error("{call} of the device plugin of {resource} failed")]
    Call {
        /// What it was asked.
        call: &'static str,
        /// Its resource.
        resource: String,
        /// The cause.
        source: CallError,
    },
    /// The plugin does not answer.
    #[error("{call} of the device plugin of {resource} failed: no answer within {} s", PATIENCE.as_secs())]
    Late {
        /// What it was asked.
        call: &'static str,
        /// Its resource.
        resource: String,
    },
    /// A device that it names cannot be had.
    #[error("CDI device injection failed")]
    Cdi(#[from] CdiError),
    /// The plugin answered for another number of containers.
    #[error("the device plugin of {0} did not answer for the one container it was asked about")]
    Answer(String),
    /// It cannot be written down.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a container gets with its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Equipment {
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// Files.
    pub(crate) mounts: Vec<Mount>,
    /// Devices.
    pub(crate) devices: Vec<Device>,
    /// Annotations for the runtime.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Groups that its program is in.
    pub(crate) groups: Vec<u32>,
    /// Programs of the node that its runtime runs.
    pub(crate) hooks: Vec<Hook>,
}

impl Equipment {
    fn add(&mut self, needs: &Needs) {
        self.env.extend(needs.env.clone());
        self.annotations.extend(needs.annotations.clone());
        let mounts = needs.mounts.iter();
        self.mounts
            .extend(mounts.map(|(host, container, read_only)| Mount::new(host, container, *read_only)));
        self.devices.extend(needs.devices.iter().cloned());
    }
}

/// The devices of this node.
#[derive(Debug)]
pub(crate) struct Devices {
    directory: PathBuf,
    cdi_directories: Vec<PathBuf>,
    state: Mutex<State>,
    /// Counted up when there are more or fewer devices.
    changed: watch::Sender<u64>,
    /// One allocation at a time: what is chosen must be free until it is written down.
    allocating: tokio::sync::Mutex<()>,
}

impl Devices {
    /// Those of plugins with sockets below the directory of the node, and what containers have of them; files of the Container Device
    /// Interface are in these directories.
    pub(crate) fn open(root: &Path, cdi_directories: &[PathBuf]) -> Result<Self, WriteError> {
        let directory = root.join("device-plugins");
        let state = State::read(&directory)?;
        let changed = watch::Sender::default();
        let allocating = tokio::sync::Mutex::default();
        let cdi_directories = cdi_directories.to_vec();
        Ok(Self { directory, cdi_directories, state: Mutex::new(state), changed, allocating })
    }

    /// How many devices of each resource there are, and how many can be given to containers.
    pub(crate) fn counts(&self) -> BTreeMap<String, (usize, usize)> {
        self.state.lock().counts()
    }

    /// Tells when there are more or fewer.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes what a plugin offers; the resource of nobody else changes.
    fn offer(&self, resource: &str, offer: Option<Offer>) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let before = state.counts();
        state.offer(resource, offer);
        if state.counts() != before {
            self.changed.send_modify(|count| *count += 1);
        }
        state.write(&self.directory)
    }

    /// The Pods that have some.
    pub(crate) fn holders(&self) -> Vec<String> {
        self.state.lock().holders()
    }

    /// Where so many devices are best taken from, of these nodes.
    pub(crate) fn hints(
        &self,
        pod: &Pod,
        container: Option<&str>,
        wanted: (&str, usize),
        nodes: NumaNodes,
    ) -> Hints {
        self.state.lock().hints(pod, container.unwrap_or_default(), wanted, nodes)
    }

    /// Gives the container the devices it asks for, those near these nodes first.
    pub(crate) async fn give(
        &self,
        pod: &Pod,
        container: &Container,
        nodes: Option<NumaNodes>,
    ) -> Result<(), DeviceError> {
        let _alone = self.allocating.lock().await;
        for (resource, wanted) in self.wanted(container) {
            self.given(pod, container, (&resource, wanted), nodes).await?;
        }
        Ok(())
    }

    /// What the container gets with the devices it asks for; the same however often it is started.
    pub(crate) async fn equip(&self, pod: &Pod, container: &Container) -> Result<Equipment, DeviceError> {
        let _alone = self.allocating.lock().await;
        let (mut equipment, mut named) = (Equipment::default(), Vec::new());
        for (resource, wanted) in self.wanted(container) {
            let given = self.given(pod, container, (&resource, wanted), None).await?;
            let offer = self.state.lock().offered(&resource).cloned();
            if let Some(offer) = offer.filter(|offer| offer.options.pre_start_required) {
                let request = PreStartRequest { devices_ids: given.devices.clone() };
                let call = ("PreStartContainer", device::PRE_START);
                ask::<_, Empty>(&offer.socket, &resource, call, &request).await?;
            }
            equipment.add(&given.needs);
            named.extend(given.needs.cdi_names());
        }
        cdi::add(&named, &self.cdi_directories, &mut equipment)?;
        Ok(equipment)
    }

    /// The devices that the container has.
    pub(crate) fn held(&self, uid: &str, container: &str) -> Vec<Held> {
        self.state.lock().held(uid, container)
    }

    /// All devices that can be given to containers.
    pub(crate) fn healthy(&self) -> Vec<Held> {
        self.state.lock().healthy()
    }

    /// The resources of plugins that the container asks for, and how much.
    pub(crate) fn wanted(&self, container: &Container) -> BTreeMap<String, usize> {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let state = self.state.lock();
        let limits = limits.into_iter().flatten().filter(|(resource, _)| state.knows(resource));
        let count = |amount: &str| amount.parse().ok().filter(|count| *count > 0);
        limits.filter_map(|(resource, amount)| Some((resource.clone(), count(&amount.0)?))).collect()
    }

    /// The devices that the container has, else some that nobody has.
    async fn given(
        &self,
        pod: &Pod,
        container: &Container,
        (resource, wanted): (&str, usize),
        nodes: Option<NumaNodes>,
    ) -> Result<Given, DeviceError> {
        let (offer, choice) = {
            let state = self.state.lock();
            if let Some(given) = state.given(pod, &container.name, resource) {
                return Ok(given.clone());
            }
            let choice = state.choose_near(pod, &container.name, (resource, wanted), nodes);
            (state.offered(resource).cloned(), choice)
        };
        let well = offer.filter(|offer| offer.devices.values().any(|device| device.healthy));
        let offer = well.ok_or_else(|| DeviceError::NoneHealthy(resource.to_owned()))?;
        if choice.len() < wanted {
            return Err(DeviceError::TooFew { resource: resource.to_owned(), wanted, free: choice.len() });
        }
        let given = allocate(&offer, &choice, resource, wanted).await?;
        let mut state = self.state.lock();
        state.give(pod, &container.name, resource, given.clone());
        state.write(&self.directory)?;
        Ok(given)
    }

    /// Takes back what the pod was given.
    pub(crate) fn release(&self, uid: &str) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        if state.release(uid) { state.write(&self.directory) } else { Ok(()) }
    }
}

/// Asks the plugin for so many of these devices, and for what is needed to use them.
async fn allocate(
    offer: &Offer,
    choice: &Choice,
    resource: &str,
    wanted: usize,
) -> Result<Given, DeviceError> {
    let mut devices = choice.first(wanted);
    if offer.options.get_preferred_allocation_available {
        let request = PreferredRequest {
            container_requests: vec![ContainerPreferredRequest {
                available_device_ids: choice.all(),
                must_include_device_ids: choice.reused(wanted),
                allocation_size: i32::try_from(wanted).unwrap_or(i32::MAX),
            }],
        };
        let call = ("GetPreferredAllocation", device::GET_PREFERRED);
        let answer: PreferredResponse = ask(&offer.socket, resource, call, &request).await?;
        let preferred = answer.container_responses.into_iter().next().unwrap_or_default().device_ids;
        devices = choice.preferring(&preferred, wanted);
    }
    let request = AllocateRequest {
        container_requests: vec![ContainerAllocateRequest { devices_ids: devices.clone() }],
    };
    let call = ("Allocate", device::ALLOCATE);
    let answer: AllocateResponse = ask(&offer.socket, resource, call, &request).await?;
    let [response] = <[_; 1]>::try_from(answer.container_responses)
        .map_err(|_| DeviceError::Answer(resource.to_owned()))?;
    Ok(Given { devices, needs: Needs::of(response) })
}

async fn ask<Q: Message, A: Message + Default>(
    socket: &Path,
    resource: &str,
    (call, method): (&'static str, &str),
    question: &Q,
) -> Result<A, DeviceError> {
    match tokio::time::timeout(PATIENCE, grpc::call(socket, method, question)).await {
        Ok(answer) => {
            answer.map_err(|source| DeviceError::Call { call, resource: resource.to_owned(), source })
        }
        Err(_) => Err(DeviceError::Late { call, resource: resource.to_owned() }),
    }
}
