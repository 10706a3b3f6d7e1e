//! NodeVolumeLimits: a driver attaches only so many volumes to a node.

use std::collections::{BTreeMap, BTreeSet};

use super::Needs;
use super::matching::class_of;
use crate::cluster::{Cluster, NodeIndex};
use crate::plugins::{Plugin, Refusal};
use crate::pod::Volumes;

const REASON: &str = "node(s) exceed max volume count";

/// Volumes by driver, each once.
type Attached = BTreeMap<String, BTreeSet<String>>;

pub(super) fn fits(needs: &Needs<'_>, index: NodeIndex, cluster: &Cluster) -> Result<(), Refusal> {
    let node = &cluster.node(index).name;
    let mut wanted = Attached::new();
    add(&mut wanted, needs.namespace, needs.volumes, cluster);
    wanted.retain(|driver, _| cluster.storage.limit(node, driver).is_some());
    if wanted.is_empty() {
        return Ok(());
    }
    let mut attached = Attached::new();
    for (namespace, volumes) in cluster.volumes_on(index) {
        add(&mut attached, namespace, volumes, cluster);
    }
    for (driver, volumes) in &wanted {
        let limit = cluster.storage.limit(node, driver).unwrap_or(usize::MAX);
        let there = attached.get(driver);
        let more = volumes.iter().filter(|volume| there.is_none_or(|there| !there.contains(*volume))).count();
        if more > 0 && there.map_or(0, BTreeSet::len) + more > limit {
            return Err(Refusal::for_now(Plugin::NodeVolumeLimits, REASON));
        }
    }
    Ok(())
}

/// Adds the volumes of a Pod's claims. A claim without a volume counts for the driver that will provide it.
fn add(attached: &mut Attached, namespace: &str, volumes: &Volumes, cluster: &Cluster) {
    let storage = &cluster.storage;
    for claim in &volumes.claims {
        let Some(claim) = storage.claim(namespace, &claim.name) else { continue };
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
        let volume = volume.and_then(|name| storage.volume(name)).and_then(|volume| volume.spec.as_ref());
        let (driver, handle) = match volume {
            Some(spec) => match &spec.csi {
                Some(csi) => (csi.driver.clone(), csi.volume_handle.clone()),
                None => continue,
            },
            None => match storage.class(class_of(claim)) {
                Some(class) => {
                    let name = claim.metadata.name.as_deref().unwrap_or_default();
                    (class.provisioner.clone(), format!("{namespace}/{name}"))
                }
                None => continue,
            },
        };
        attached.entry(driver).or_default().insert(handle);
    }
}
