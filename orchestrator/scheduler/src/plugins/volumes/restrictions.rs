//! VolumeRestrictions: some disks can be at one node in one way only, and some claims are for one Pod.

use super::{Needs, RefusedEverywhere};
use crate::cluster::{Cluster, NodeIndex};
use crate::plugins::{Plugin, Refusal};

const DISK: &str = "node(s) had no available disk";
const TAKEN: &str =
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

/// Whether a placed Pod has a claim that only one Pod may have.
pub(super) fn is_taken(needs: &Needs<'_>, cluster: &Cluster) -> Result<bool, RefusedEverywhere> {
    let mut is_taken = false;
    for claim in needs.volumes.claims.iter().filter(|claim| !claim.is_ephemeral) {
        let Some(found) = cluster.storage.claim(needs.namespace, &claim.name) else {
            let text = format!("persistentvolumeclaim {:?} not found", claim.name);
            return Err(RefusedEverywhere { plugin: Plugin::VolumeRestrictions, text });
        };
        let modes = found.spec.iter().flat_map(|spec| spec.access_modes.iter().flatten());
        let is_for_one = modes.into_iter().any(|mode| mode == "ReadWriteOncePod");
        is_taken |= is_for_one && cluster.storage.users(needs.namespace, &claim.name) > 0;
    }
    Ok(is_taken)
}

pub(super) fn fits(needs: &Needs<'_>, index: NodeIndex, cluster: &Cluster) -> Result<(), Refusal> {
    let wanted = &needs.volumes.disks;
    let meets = |used: &crate::pod::Volumes| {
        used.disks.iter().any(|used| wanted.iter().any(|wanted| wanted.conflicts(used)))
    };
    if !wanted.is_empty() && cluster.volumes_on(index).any(|(_, used)| meets(used)) {
        return Err(Refusal::for_now(Plugin::VolumeRestrictions, DISK));
    }
    if needs.is_taken {
        return Err(Refusal::for_now(Plugin::VolumeRestrictions, TAKEN));
    }
    Ok(())
}
