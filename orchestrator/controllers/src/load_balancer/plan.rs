//! Which Services are reached at which nodes' addresses. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use wherry_api::ranges::IpFamily;

use super::PORTS_ERROR;
use crate::objects::meta::Key;
use crate::objects::services::families;

/// The class of Services that name this load balancer.
const CLASS: &str = "wherry";

/// A protocol and a port number.
pub(super) type Front = (String, i32);

/// A node that can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: String,
    pub(super) addresses: Vec<IpAddr>,
    /// The ports that lead elsewhere, and to whom.
    pub(super) taken: BTreeMap<Front, String>,
}

/// What the status of a Service says of its load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Where the Service's ports are open, in order.
    pub(super) addresses: Vec<String>,
    /// What keeps it from having its ports.
    pub(super) problem: Option<String>,
}

/// What every Service should be told; Services that others balance are left out.
pub(super) fn plan(
    services: &[Arc<Service>],
    places: &[Place],
    nodes_of: impl Fn(&Service) -> BTreeSet<String>,
) -> Vec<(Arc<Service>, Verdict)> {
    let (ours, rest): (Vec<_>, Vec<_>) = services.iter().cloned().partition(|service| is_ours(service));
    let mut held: BTreeMap<Front, Arc<Service>> = services.iter().flat_map(node_ports).collect();
    let mut verdicts = Vec::new();
    for service in in_turn(ours) {
        let fronts = fronts(&service);
        let other = fronts.iter().find_map(|front| {
            held.get(front).filter(|holder| !is_same(holder, &service)).map(|holder| (front, holder))
        });
        if let Some((front, holder)) = other {
            let (Key { namespace, name }, front) = (Key::of(&**holder), show(front));
            let problem = format!(
                "port {front} leads to the Service {namespace}/{name}: choose another port, or remove it there"
            );
            verdicts.push((service, Verdict { addresses: Vec::new(), problem: Some(problem) }));
            continue;
        }
        held.extend(fronts.iter().map(|front| (front.clone(), service.clone())));
        let nodes = is_local(&service).then(|| nodes_of(&service));
        let wanted =
            places.iter().filter(|place| nodes.as_ref().is_none_or(|nodes| nodes.contains(&place.node)));
        let verdict = at(&fronts, &wanted.collect::<Vec<_>>(), &families(&service));
        verdicts.push((service, verdict));
    }
    // A Service that is of another type by now has no load balancer.
    let former =
        rest.into_iter().filter(|service| !is_balanced(service) && told(service) != Verdict::default());
    verdicts.into_iter().chain(former.map(|service| (service, Verdict::default()))).collect()
}

/// The addresses, of these families, of the nodes at which all these ports are free.
fn at(fronts: &[Front], places: &[&Place], families: &[IpFamily]) -> Verdict {
    let taken = |place: &Place| {
        let found = fronts.iter().find_map(|front| Some((front, place.taken.get(front)?)));
        found.map(|(front, who)| format!("port {} of the node {} leads to {who}", show(front), place.node))
    };
    let free = places.iter().filter(|place| taken(place).is_none());
    let addresses = free.flat_map(|place| &place.addresses);
    let addresses = addresses.filter(|ip| families.contains(&IpFamily::of(**ip)));
    let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
    let problem = places.iter().find_map(|place| taken(place)).filter(|_| addresses.is_empty());
    Verdict { addresses, problem }
}

/// Those that have addresses keep them; the others follow by age.
fn in_turn(mut services: Vec<Arc<Service>>) -> Vec<Arc<Service>> {
    let made = |service: &Service| {
        service.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
    };
    services.sort_by_cached_key(|service| {
        (told(service).addresses.is_empty(), made(service), Key::of(&**service))
    });
    services
}

/// What the Service's status says now.
pub(super) fn told(service: &Service) -> Verdict {
    let status = service.status.clone().unwrap_or_default();
    let ingress = status.load_balancer.and_then(|balancer| balancer.ingress).unwrap_or_default();
    let mut conditions = status.conditions.into_iter().flatten();
    let problem =
        conditions.find(|condition| condition.type_ == PORTS_ERROR).map(|condition| condition.message);
    let addresses =
        ingress.into_iter().map(|ingress| ingress.ip.or(ingress.hostname).unwrap_or_default()).collect();
    Verdict { addresses, problem }
}

/// Whether it is of type LoadBalancer.
pub(super) fn is_balanced(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
}

/// Whether it is for this load balancer to say where it is reached.
fn is_ours(service: &Service) -> bool {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref());
    is_balanced(service)
        && service.metadata.deletion_timestamp.is_none()
        && class.is_none_or(|class| class == CLASS)
}

/// Whether only nodes with endpoints are to be sent to.
pub(super) fn is_local(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local")
}

fn is_same(a: &Service, b: &Service) -> bool {
    a.metadata.uid == b.metadata.uid
}

/// The ports at which it wants to be reached; those of SCTP are opened by nobody.
fn fronts(service: &Service) -> Vec<Front> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let fronts = ports.map(|port| (protocol(port.protocol.as_ref()), port.port));
    fronts.filter(|(protocol, _)| protocol != "SCTP").collect()
}

/// The ports of every node that it has.
fn node_ports(service: &Arc<Service>) -> Vec<(Front, Arc<Service>)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let ports = spec.ports.iter().flatten();
    let ports = ports.filter_map(|port| Some((protocol(port.protocol.as_ref()), port.node_port?)));
    let health = spec.health_check_node_port.map(|port| ("TCP".to_owned(), port));
    ports.chain(health).map(|front| (front, service.clone())).collect()
}

/// A protocol as objects name it.
pub(super) fn protocol(text: Option<&String>) -> String {
    text.map_or_else(|| "TCP".to_owned(), Clone::clone)
}

fn show((protocol, number): &Front) -> String {
    format!("{number}/{protocol}")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
