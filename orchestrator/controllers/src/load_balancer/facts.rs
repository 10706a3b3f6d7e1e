//! What the load balancer goes by: nodes that can be sent to, which of their ports lead elsewhere, and where endpoints are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use super::plan::{Front, Place, is_balanced, is_local, protocol, told};
use crate::context::Caches;
use crate::objects::meta::{Key, labels};
use crate::objects::pods::is_terminal;
use crate::objects::services::node_name;
use crate::objects::slices::{SERVICE_NAME, all_slices_of};
use crate::runtime::queue::Queue;

/// The label of nodes that no load balancer shall send to.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Wakes the queue by every change that can make a difference.
pub(super) fn wake(caches: &Arc<Caches>, queue: &Arc<Queue<()>>) {
    let wake = queue.clone();
    caches.services.on_change(move |change| {
        if change.both().any(|service| is_balanced(service) || !told(service).addresses.is_empty()) {
            wake.add(());
        }
    });
    let wake = queue.clone();
    caches.nodes.on_change(move |change| {
        if change.old.map(|node| place(node)) != change.new.map(|node| place(node)) {
            wake.add(());
        }
    });
    let wake = queue.clone();
    caches.pods.on_change(move |change| {
        let taken = |pod: Option<&Arc<Pod>>| -> Vec<(String, Option<IpAddr>, Front)> {
            let ports = pod.into_iter().flat_map(|pod| host_ports(pod));
            ports.map(|(node, address, front)| (node.to_owned(), address, front)).collect()
        };
        if taken(change.old) != taken(change.new) {
            wake.add(());
        }
    });
    let (wake, services) = (queue.clone(), caches.services.clone());
    caches.endpoint_slices.on_change(move |change| {
        let Some(slice) = change.last() else { return };
        let Some(service) = labels(&slice.metadata).get(SERVICE_NAME) else { return };
        let key = Key::new(slice.namespace().unwrap_or_default(), service);
        let concerned = services.get(&key).is_some_and(|service| is_balanced(&service) && is_local(&service));
        if concerned || key == api_server() {
            wake.add(());
        }
    });
}

/// The nodes that can be sent to, by name.
pub(super) fn places(caches: &Caches) -> Vec<Place> {
    let mut places: BTreeMap<String, Place> =
        caches.nodes.all().iter().filter_map(|node| Some((node.name_any(), place(node)?))).collect();
    for pod in caches.pods.all() {
        for (node, address, front) in host_ports(&pod) {
            let Some(place) = places.get_mut(node) else { continue };
            if address.is_none_or(|address| place.addresses.contains(&address)) {
                place.taken.insert(
                    front,
                    format!("the Pod {}/{}", pod.namespace().unwrap_or_default(), pod.name_any()),
                );
            }
        }
    }
    let served: BTreeSet<(IpAddr, i32)> =
        caches.endpoint_slices.get(&api_server()).iter().flat_map(|slice| served_at(slice)).collect();
    for place in places.values_mut() {
        for (_, port) in served.iter().filter(|(address, _)| place.addresses.contains(address)) {
            place.taken.insert(("TCP".to_owned(), *port), "the API server".to_owned());
        }
    }
    places.into_values().collect()
}

/// The Service of the API server.
fn api_server() -> Key {
    Key::new("default", "kubernetes")
}

fn served_at(slice: &EndpointSlice) -> Vec<(IpAddr, i32)> {
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    let addresses = addresses.filter_map(|address| address.parse().ok());
    let ports = || slice.ports.iter().flatten().filter_map(|port| port.port);
    addresses.flat_map(|address| ports().map(move |port| (address, port))).collect()
}

/// A node that is ready, is to stay, and may be sent to; with its own endpoint as the only port that is taken.
fn place(node: &Node) -> Option<Place> {
    if node.metadata.deletion_timestamp.is_some() || labels(&node.metadata).contains_key(EXCLUDED) {
        return None;
    }
    let status = node.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let internal = status.addresses.iter().flatten().filter(|address| address.type_ == "InternalIP");
    let addresses: Vec<IpAddr> = internal.filter_map(|address| address.address.parse().ok()).collect();
    addresses.first()?;
    let endpoint = status.daemon_endpoints.as_ref().and_then(|daemons| daemons.kubelet_endpoint.as_ref());
    let taken =
        endpoint.map(|endpoint| (("TCP".to_owned(), endpoint.port), "the node's own endpoint".to_owned()));
    Some(Place { node: node.name_any(), addresses, taken: taken.into_iter().collect() })
}

/// The ports that a Pod takes of its node: at which address, if not at all.
fn host_ports(pod: &Pod) -> impl Iterator<Item = (&str, Option<IpAddr>, Front)> {
    let node = node_name(pod).filter(|_| !is_terminal(pod));
    let spec = pod.spec.iter().filter(move |_| node.is_some());
    let containers =
        spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(move |port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let address =
            port.host_ip.as_deref().and_then(|ip| ip.parse().ok()).filter(|ip: &IpAddr| !ip.is_unspecified());
        Some((node?, address, (protocol(port.protocol.as_ref()), number)))
    })
}

/// The nodes on which the Service has endpoints that take connections.
pub(super) fn nodes_of(caches: &Caches, service: &Service) -> BTreeSet<String> {
    let slices = all_slices_of(&caches.endpoint_slices, &Key::of(service));
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let taking = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        conditions.ready.unwrap_or(true)
            || (conditions.serving == Some(true) && conditions.terminating == Some(true))
    });
    taking.filter_map(|endpoint| endpoint.node_name.clone()).collect()
}
