//! What an event does for the Pods that found no node.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Scheduler;
use crate::cluster::{Cluster, NodeIndex, PodIndex};
use crate::cycle::{Asker, Scratch, Supposed};
use crate::event::{Event, StorageKind};
use crate::plugins::{Plugin, PluginSet, helps};
use crate::pod::PodInfo;
use crate::preemption::{Nominations, are_ending, counts_for};
use crate::profiles::{Own, Profiles};
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
    pub(super) ending: &'s HashSet<String>,
}

impl Scheduler {
    /// Wakes the Pods that an event helps.
    pub(super) fn happened(&mut self, event: Option<Event>) {
        let Some(event) = event else { return };
        let Self { queue, cluster, scratch, profiles, nominations, ending, .. } = self;
        let mut hints = Hints { cluster, scratch, profiles, nominations, ending };
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
        let is_local = !WIDE.into_iter().any(|plugin| plugins.contains(plugin));
        match (node(event).filter(|_| is_local), self.profiles.of(pod).cloned()) {
            (Some(node), Some(own)) => self.help_there(event, pod, (node, &own)),
            _ => Help::Maybe,
        }
    }

    fn help_there(&mut self, event: &Event, pod: &PodInfo, (node, own): (NodeIndex, &Own)) -> Help {
        // Those that are only nominated for the node, and do not count for this Pod.
        let beside = self.nominations.on(&self.cluster.node(node).name);
        let beside = beside.iter().filter(|other| !counts_for(other, pod));
        let mut away: Vec<_> = beside.filter_map(|other| self.cluster.placed(&other.uid)).collect();
        let fits = |away: &[PodIndex], hints: &mut Self| {
            let asker = Asker::new(pod, &own.profile, hints.cluster, hints.scratch);
            let mut supposed = Supposed::new(&asker, node, hints.cluster, hints.scratch);
            for pod in away {
                supposed.take_away(*pod);
            }
            supposed.refusal().is_none()
        };
        if fits(&away, self) {
            return Help::Surely;
        }
        let nominated = self.nominations.node_of(&pod.uid).and_then(|name| self.cluster.node_named(name));
        let awaits = nominated.is_some_and(|node| are_ending(pod, node, self.cluster, self.ending));
        if own.preempts && pod.may_preempt && !awaits {
            let before = away.len();
            let lower = self.cluster.pods_on(node).filter(|(_, other)| other.priority < pod.priority);
            let lower: Vec<_> = lower.map(|(index, _)| index).filter(|index| !away.contains(index)).collect();
            away.extend(lower);
            if away.len() > before && fits(&away, self) {
                return Help::Surely;
            }
        }
        // The room that it was to have may not come about: then it looks for another.
        let is_its_room = nominated == Some(node);
        let goes_on = awaits && matches!(event, Event::PodGone { .. });
        if is_its_room && !goes_on { Help::Maybe } else { Help::No }
    }
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
