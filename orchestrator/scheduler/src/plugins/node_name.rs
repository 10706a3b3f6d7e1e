//! A Pod that names its node fits only there.

use super::{Filter, Misfit};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

const REASON: &str = "node(s) didn't match the requested node name";

pub(super) const FILTER: Filter = Filter { name: "NodeName", fits, helped_by: &[] };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    match &pod.node_name {
        Some(name) if *name != node.name => Err(Misfit::one(REASON, true)),
        Some(_) | None => Ok(()),
    }
}
