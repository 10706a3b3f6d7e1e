//! VolumeZone: a volume that is labelled with zones or regions is used there.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;

use crate::cluster::{Cluster, NodeInfo};
use crate::plugins::{Plugin, Refusal};

const REASON: &str = "node(s) had no available volume zone";

/// The labels, and what the older ones are called now.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// What the labels of a Pod's volumes allow.
#[derive(Default)]
pub(super) struct Zones(Vec<((&'static str, &'static str), BTreeSet<String>)>);

impl Zones {
    pub(super) fn of(volumes: &[Arc<PersistentVolume>]) -> Self {
        let mut zones = Vec::new();
        for volume in volumes {
            for label in LABELS {
                let value = volume.metadata.labels.as_ref().and_then(|labels| labels.get(label.0));
                // Several are joined by two underscores; an empty one makes the label unreadable.
                let values = value.map(|value| value.split("__").map(str::to_owned).collect::<BTreeSet<_>>());
                zones.extend(values.filter(|values| !values.contains("")).map(|values| (label, values)));
            }
        }
        Self(zones)
    }

    pub(super) fn fits(&self, node: &NodeInfo, cluster: &Cluster) -> Result<(), Refusal> {
        // A node without any such label is in a cluster of one zone.
        if self.0.is_empty() || LABELS.iter().all(|(label, _)| cluster.label(node, label).is_none()) {
            return Ok(());
        }
        let is_right = |((label, now), values): &((&str, &str), BTreeSet<String>)| {
            let value = cluster.label(node, label).or_else(|| cluster.label(node, now));
            value.is_some_and(|value| values.contains(value))
        };
        if self.0.iter().all(is_right) { Ok(()) } else { Err(Refusal::for_good(Plugin::VolumeZone, REASON)) }
    }
}
