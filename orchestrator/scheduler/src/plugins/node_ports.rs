//! A port of a node is for one Pod only.

use super::{Change, Filter, Misfit};
use crate::cluster::NodeInfo;
use crate::pod::{HostPort, PodInfo};

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";
const ANY: &str = "0.0.0.0";

pub(super) const FILTER: Filter = Filter { name: "NodePorts", fits, helped_by: &[Change::PodGone] };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    let taken = pod.ports.iter().any(|wanted| node.ports.keys().any(|used| conflict(wanted, used)));
    if taken { Err(Misfit::one(REASON, false)) } else { Ok(()) }
}

fn conflict(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == ANY || b.ip == ANY)
}
