//! What an event does for the Pods that found no node.

use tokio::time::Instant;

use super::Scheduler;
use crate::cluster::{Cluster, NodeIndex, PodIndex};
use crate::cycle::{Scratch, Spot, refusal};
use crate::event::{Event, StorageKind};
use crate::plugins::{Plugin, PluginSet, helps};
use crate::pod::PodInfo;
use crate::preemption::Nominations;
use crate::profiles::Profiles;
use crate::queue::Help;

/// The plugins whose no depends on more than the node it is about and its Pods.
const WIDE: [Plugin; 8] = [
    Plugin::PodTopologySpread,
    Plugin::InterPodAffinity,
    Plugin::VolumeRestrictions,
    Plugin::NodeVolumeLimits,
    Plugin::VolumeBinding,
    Plugin::VolumeZone,
    Plugin::DynamicResources,
    Plugin::Extender,
];

/// What has to be asked.
pub(super) struct Hints<'s> {
    pub(super) cluster: &'s mut Cluster,
    pub(super) scratch: &'s mut Scratch,
    pub(super) profiles: &'s Profiles,
    pub(super) nominations: &'s Nominations,
}

impl Scheduler {
    /// Wakes the Pods that an event helps.
    pub(super) fn happened(&mut self, event: Option<Event>) {
        let Some(event) = event else { return };
        let Self { queue, cluster, scratch, profiles, nominations, .. } = self;
        let mut hints = Hints { cluster, scratch, profiles, nominations };
        queue.wake(
            &event,
            (Instant::now(), name(&event)),
            |plugins| concerns(&event, plugins),
            |event, pod, plugins| hints.help(event, pod, plugins),
        );
    }
}

impl Hints<'_> {
    /// What an event does for a Pod that these plugins refused. If all of them look at nodes by themselves, and the event
    /// is about one node, then the Pod has room there now or may make some, or still has none anywhere.
    pub(super) fn help(&mut self, event: &Event, pod: &PodInfo, plugins: PluginSet) -> Help {
        if !concerns(event, plugins) || (!plugins.is_empty() && !helps(event, plugins, pod, self.cluster)) {
            return Help::No;
        }
        let is_local =
            !WIDE.into_iter().any(|plugin| plugins.contains(plugin)) && self.nominations.is_empty();
        match (node(event).filter(|_| is_local), self.profiles.of(pod)) {
            (Some(node), Some(own)) => {
                let may_preempt = own.preempts && pod.may_preempt;
                let lower = if may_preempt { below(self.cluster, node, pod.priority) } else { Vec::new() };
                let mut fits = |without: &[_]| {
                    let spot = Spot { node, without };
                    refusal(pod, spot, self.cluster, &own.profile, self.scratch).is_none()
                };
                if fits(&[]) || (!lower.is_empty() && fits(&lower)) { Help::Surely } else { Help::No }
            }
            _ => Help::Maybe,
        }
    }
}

/// The Pods on a node of less than this priority.
fn below(cluster: &Cluster, node: NodeIndex, priority: i32) -> Vec<PodIndex> {
    let lower = cluster.pods_on(node).filter(|(_, other)| other.priority < priority);
    lower.map(|(index, _)| index).collect()
}

/// Whether the event may help anybody that these plugins refused. Without plugins there was no node.
fn concerns(event: &Event, plugins: PluginSet) -> bool {
    match event {
        Event::PodPlaced { .. }
        | Event::PodChanged { .. }
        | Event::NamespaceChanged
        | Event::StorageChanged(_)
        | Event::NodeRemoved => {
            WIDE.into_iter().any(|plugin| plugins.contains(plugin))
                || (matches!(event, Event::PodChanged { .. }) && plugins.contains(Plugin::NodeResourcesFit))
        }
        Event::NodeAdded(_) | Event::NodeChanged(..) | Event::PodGone { .. } => true,
    }
}

fn node(event: &Event) -> Option<NodeIndex> {
    match event {
        Event::NodeAdded(node)
        | Event::NodeChanged(node, _)
        | Event::PodPlaced { node, .. }
        | Event::PodChanged { node, .. }
        | Event::PodGone { node, .. } => Some(*node),
        Event::NodeRemoved | Event::NamespaceChanged | Event::StorageChanged(_) => None,
    }
}

/// How metrics call an event.
fn name(event: &Event) -> &'static str {
    match event {
        Event::NodeAdded(_) => "NodeAdd",
        Event::NodeChanged(..) => "NodeUpdate",
        Event::NodeRemoved => "NodeDelete",
        Event::PodPlaced { .. } => "AssignedPodAdd",
        Event::PodChanged { .. } => "AssignedPodUpdate",
        Event::PodGone { .. } => "AssignedPodDelete",
        Event::NamespaceChanged => "NamespaceUpdate",
        Event::StorageChanged(StorageKind::Claim(_)) => "PvcUpdate",
        Event::StorageChanged(StorageKind::Volume) => "PvUpdate",
        Event::StorageChanged(StorageKind::Class) => "StorageClassUpdate",
        Event::StorageChanged(StorageKind::CsiNode) => "CSINodeUpdate",
        Event::StorageChanged(StorageKind::Capacity) => "CSIStorageCapacityUpdate",
        Event::StorageChanged(StorageKind::Driver) => "CSIDriverUpdate",
        Event::StorageChanged(StorageKind::DeviceClaim { .. }) => "ResourceClaimUpdate",
        Event::StorageChanged(StorageKind::Slice) => "ResourceSliceUpdate",
        Event::StorageChanged(StorageKind::DeviceClass) => "DeviceClassUpdate",
    }
}
