//! The Endpoints a Service should have.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use kube::api::ObjectMeta;

use crate::objects::meta::labels;
use crate::objects::pods::{is_ready, is_terminal, is_terminating};
use crate::objects::services::{
    HEADLESS_LABEL, families, hostname, is_headless, node_name, pod_ip, ports, publishes_not_ready, target,
};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// The most addresses in one object.
const MAX_ADDRESSES: usize = 1000;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Create(Box<Endpoints>),
    Update(Box<Endpoints>),
    Delete(Box<ObjectMeta>),
}

/// Decides from the Service with its Pods, if there is one, and the Endpoints there are.
pub(super) fn plan(world: Option<(&Service, &[Arc<Pod>])>, found: Option<&Endpoints>) -> Option<Action> {
    let Some((service, pods)) = world else {
        let orphan =
            found.filter(|found| labels(&found.metadata).get(MANAGED_BY).is_some_and(|by| by == MANAGER));
        return orphan.map(|orphan| Action::Delete(Box::new(orphan.metadata.clone())));
    };
    let (labels, subsets) = (endpoint_labels(service), subsets(service, pods));
    let Some(found) = found else {
        let metadata = ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
        return Some(Action::Create(Box::new(Endpoints { metadata, subsets })));
    };
    let same_subsets = found.subsets.as_deref().unwrap_or_default() == subsets.as_deref().unwrap_or_default();
    if same_subsets && found.metadata.labels.as_ref() == Some(&labels) {
        return None;
    }
    let mut changed = Endpoints { subsets, ..found.clone() };
    changed.metadata.labels = Some(labels);
    Some(Action::Update(Box::new(changed)))
}

fn endpoint_labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS_LABEL);
    }
    labels
}

fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Option<Vec<EndpointSubset>> {
    let not_ready_too = publishes_not_ready(service);
    let family = families(service)[0];
    let mut members: Vec<_> = pods
        .iter()
        .filter(|pod| !is_terminal(pod) && (not_ready_too || !is_terminating(pod)))
        .filter_map(|pod| Some((pod_ip(pod, family)?, pod)))
        .collect();
    members.sort_by_key(|(ip, pod)| (ip.to_owned(), pod.metadata.uid.clone()));
    members.truncate(MAX_ADDRESSES);
    let mut subsets = BTreeMap::<Vec<PortKey>, EndpointSubset>::new();
    for (ip, pod) in members {
        let ports = subset_ports(service, pod);
        // Without ports only a headless Service has anything to say.
        if ports.is_empty() && !is_headless(service) {
            continue;
        }
        let subset = subsets.entry(ports.iter().map(port_key).collect()).or_default();
        let ready = not_ready_too || is_ready(pod);
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address(service, pod, ip));
        subset.ports = Some(ports).filter(|ports| !ports.is_empty());
    }
    Some(subsets.into_values().collect::<Vec<_>>()).filter(|subsets| !subsets.is_empty())
}

fn address(service: &Service, pod: &Pod, ip: &str) -> EndpointAddress {
    EndpointAddress {
        ip: ip.to_owned(),
        hostname: hostname(service, pod),
        node_name: node_name(pod).map(str::to_owned),
        target_ref: Some(target(pod)),
    }
}

fn subset_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut resolved: Vec<_> = ports(service, pod)
        .into_iter()
        .map(|(port, number)| EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: number,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect();
    resolved.sort_by_key(port_key);
    resolved
}

type PortKey = (Option<String>, i32, Option<String>);

fn port_key(port: &EndpointPort) -> PortKey {
    (port.name.clone(), port.port, port.protocol.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        let object = json!({
            "metadata": { "name": "web", "namespace": "ns" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }] },
        });
        serde_json::from_value(object).unwrap()
    }

    fn pod(ip: &str, ready: &str) -> Arc<Pod> {
        let object = json!({
            "metadata": { "name": ip, "namespace": "ns", "uid": ip },
            "spec": { "nodeName": "node", "containers": [] },
            "status": { "podIP": ip, "conditions": [{ "type": "Ready", "status": ready }] },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn addresses_by_readiness_and_no_second_write() {
        let (service, pods) =
            (service(), [pod("10.0.0.2", "True"), pod("10.0.0.1", "True"), pod("10.0.0.3", "False")]);
        let Some(Action::Create(created)) = plan(Some((&service, &pods)), None) else {
            panic!("nothing created")
        };
        let subset = &created.subsets.as_ref().unwrap()[0];
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ips(&subset.addresses), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(ips(&subset.not_ready_addresses), ["10.0.0.3"]);
        assert_eq!(subset.ports.as_ref().unwrap()[0].port, 8080);
        assert_eq!(plan(Some((&service, &pods)), Some(&created)), None);
        let fewer = plan(Some((&service, &[])), Some(&created));
        assert!(matches!(fewer, Some(Action::Update(endpoints)) if endpoints.subsets.is_none()));
        assert_eq!(plan(None, Some(&created)), Some(Action::Delete(Box::new(created.metadata.clone()))));
    }

    #[test]
    fn endpoints_of_somebody_else_outlive_the_service() {
        assert_eq!(plan(None, Some(&Endpoints::default())), None);
    }
}
