//! What a Pod needs besides what its template says: its own volumes and devices.

use super::dynamic_resources::{self, Reservation};
use super::volumes::{self, RefusedEverywhere, Step};
use super::{Profile, Refusal};
use crate::cluster::{Cluster, NodeIndex};
use crate::pod::PodInfo;

/// See the module's documentation.
pub(crate) struct Needs<'p> {
    volumes: Option<volumes::Needs<'p>>,
    devices: Option<dynamic_resources::Needs>,
}

/// What has to be written before a Pod can be bound.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) volumes: Vec<Step>,
    pub(crate) devices: Vec<Reservation>,
}

impl Steps {
    pub(crate) fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.devices.is_empty()
    }
}

impl<'p> Needs<'p> {
    /// What a Pod needs, or why it goes nowhere; nothing if it has neither volumes nor claims that matter.
    pub(crate) fn of(
        pod: &'p PodInfo,
        cluster: &Cluster,
        profile: &Profile,
    ) -> Result<Option<Self>, RefusedEverywhere> {
        let devices = dynamic_resources::Needs::of(pod, cluster, profile)?;
        let volumes = volumes::Needs::of(pod, cluster, profile)?;
        let has_some = volumes.is_some() || devices.is_some();
        Ok(has_some.then_some(Self { volumes, devices }))
    }

    /// Whether a node is right for the volumes.
    pub(crate) fn pass_volumes(
        &self,
        node: NodeIndex,
        cluster: &Cluster,
        profile: &Profile,
    ) -> Result<(), Refusal> {
        self.volumes.as_ref().map_or(Ok(()), |needs| needs.pass(node, cluster, profile))
    }

    /// Whether a node that passes all else has the devices.
    pub(crate) fn pass_devices(&self, node: NodeIndex, cluster: &Cluster) -> Result<(), Refusal> {
        self.devices.as_ref().map_or(Ok(()), |needs| needs.pass(node, cluster))
    }

    /// What was wrong with what the Pod claims, if that was found out on some node.
    pub(crate) fn wrong(&self) -> Option<RefusedEverywhere> {
        self.devices.as_ref()?.wrong()
    }

    /// What has to be written before the Pod can be bound to a node.
    pub(crate) fn steps(&self, node: NodeIndex, cluster: &Cluster) -> Steps {
        Steps {
            volumes: self.volumes.as_ref().map(|needs| needs.steps(node, cluster)).unwrap_or_default(),
            devices: self.devices.as_ref().map(|needs| needs.reservations(node, cluster)).unwrap_or_default(),
        }
    }
}
