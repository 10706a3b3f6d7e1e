//! A node must have room for what a Pod requests.

use super::{Change, Filter, Misfit};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

pub(super) const FILTER: Filter =
    Filter { name: "NodeResourcesFit", fits, helped_by: &[Change::NodeAllocatable, Change::PodGone] };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    let (wanted, used, all) = (&pod.requests, &node.requested, &node.allocatable);
    let mut misfit = Misfit { reasons: Vec::new(), is_final: false };
    if used.pods.saturating_add(1) > all.pods {
        misfit.reasons.push("Too many pods".to_owned());
    }
    let known = [
        ("cpu", wanted.cpu, used.cpu, all.cpu),
        ("memory", wanted.memory, used.memory, all.memory),
        ("ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, all.ephemeral_storage),
    ];
    let extended = wanted.extended.iter();
    let extended =
        extended.map(|(name, amount)| (name.as_str(), *amount, used.extended(name), all.extended(name)));
    for (name, wanted, used, all) in known.into_iter().chain(extended) {
        if wanted > 0 && wanted > all.saturating_sub(used) {
            misfit.reasons.push(format!("Insufficient {name}"));
            misfit.is_final |= wanted > all;
        }
    }
    if misfit.reasons.is_empty() { Ok(()) } else { Err(misfit) }
}
