//! What Services count for: themselves, their node ports and load balancers.

use super::read::{at, int, items, text};
use super::{Amounts, one};
use crate::data::{Data, Stored};
use crate::quantity::Quantity;

/// What a quota limits of Services.
pub(super) const NAMES: &[&str] = &["services", "services.nodeports", "services.loadbalancers"];

/// What a Service takes.
pub(super) fn usage(service: &dyn Data) -> Amounts {
    let ports = items(service, "spec.ports").count();
    let (node_ports, balancers) = match text(service, "spec.type") {
        "NodePort" => (ports, 0),
        "LoadBalancer" if allocates_none(service) => {
            (items(service, "spec.ports").filter(|port| int(*port, "nodePort").unwrap_or(0) != 0).count(), 1)
        }
        "LoadBalancer" => (ports, 1),
        _ => (0, 0),
    };
    let count = |count: usize| Quantity::from_units(i64::try_from(count).unwrap_or(i64::MAX));
    Amounts::from([
        (NAMES[0].to_owned(), one()),
        (NAMES[1].to_owned(), count(node_ports)),
        (NAMES[2].to_owned(), count(balancers)),
    ])
}

fn allocates_none(service: &dyn Data) -> bool {
    at(service, "spec.allocateLoadBalancerNodePorts").map(Data::stored) == Some(Stored::Bool(false))
}
