//! The endpoints a Service should have.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use kube::api::ObjectMeta;
use wherry_api::ranges::IpFamily;

use crate::objects::meta::controller_reference;
use crate::objects::pods::{is_ready, is_terminal, is_terminating};
use crate::objects::services::{
    HEADLESS_LABEL, families, hostname, is_headless, node_name, pod_ip, ports, publishes_not_ready, target,
};
use crate::objects::slices::{MANAGED_BY, SERVICE_NAME, port_key};

/// Us, in the label that names who manages a slice.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Endpoints of one family of addresses that are reached on the same ports.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) family: IpFamily,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// The zone of the node of that name.
pub(super) type ZoneOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// All endpoints, grouped by family and ports; at least one group of each family of the Service, perhaps an empty one.
pub(super) fn groups(service: &Service, pods: &[Arc<Pod>], zone_of: ZoneOf<'_>) -> Vec<Group> {
    let families = families(service);
    let mut groups = BTreeMap::<(IpFamily, String), Group>::new();
    for pod in pods.iter().filter(|pod| !is_terminal(pod)) {
        let ports = endpoint_ports(service, pod);
        for family in &families {
            let Some(ip) = pod_ip(pod, *family) else { continue };
            let group = groups.entry((*family, port_key(&ports))).or_insert_with(|| Group {
                family: *family,
                ports: ports.clone(),
                endpoints: Vec::new(),
            });
            group.endpoints.push(endpoint(service, pod, ip, zone_of));
        }
    }
    for family in families {
        if groups.keys().all(|(other, _)| *other != family) {
            let empty = Group { family, ports: Vec::new(), endpoints: Vec::new() };
            groups.insert((family, port_key(&[])), empty);
        }
    }
    for group in groups.values_mut() {
        group.endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    }
    groups.into_values().collect()
}

fn endpoint_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let resolved = ports(service, pod).into_iter();
    resolved
        .map(|(port, number)| EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(number),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}

fn endpoint(service: &Service, pod: &Pod, ip: &str, zone_of: ZoneOf<'_>) -> Endpoint {
    let (serving, terminating) = (is_ready(pod), is_terminating(pod));
    let ready = publishes_not_ready(service) || (serving && !terminating);
    let conditions =
        EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) };
    let node = node_name(pod);
    let zone = node.and_then(zone_of);
    Endpoint {
        addresses: vec![ip.to_owned()],
        conditions: Some(conditions),
        deprecated_topology: None,
        hints: hints(service, node, zone.as_deref()).filter(|_| ready),
        hostname: hostname(service, pod),
        node_name: node.map(str::to_owned),
        target_ref: Some(target(pod)),
        zone,
    }
}

/// Whose clients should be sent to an endpoint of this place, if the Service wants them to stay near.
fn hints(service: &Service, node: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let of_node = match service.spec.as_ref()?.traffic_distribution.as_deref()? {
        "PreferSameNode" => node,
        "PreferSameZone" | "PreferClose" => None,
        _ => return None,
    };
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let for_nodes = of_node.map(|node| vec![ForNode { name: node.to_owned() }]);
    let some = for_zones.is_some() || for_nodes.is_some();
    some.then_some(EndpointHints { for_nodes, for_zones })
}

/// A new slice without endpoints.
pub(super) fn empty_slice(service: &Service, group: &Group) -> EndpointSlice {
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", service.metadata.name.as_deref().unwrap_or_default())),
        namespace: service.metadata.namespace.clone(),
        labels: Some(slice_labels(service)),
        owner_references: Some(vec![controller_reference(service)]),
        ..ObjectMeta::default()
    };
    let ports = Some(group.ports.clone()).filter(|ports| !ports.is_empty());
    EndpointSlice {
        metadata,
        address_type: group.family.name().to_owned(),
        endpoints: Some(Vec::new()),
        ports,
    }
}

/// The Service's labels and those that say what the slice is.
pub(super) fn slice_labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels
}
