//! What plugins of the Pod network are told of a Pod, by the names that containerd has for it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use wherry_runtime_api::DnsConfig;

use super::jobs::{namespace, uid};
use crate::host_ports::HostPort;
use crate::network::{Bandwidth, Told};

/// What `pod` is and asks for.
pub(super) fn of(pod: &Pod, ports: &[HostPort], bandwidth: Bandwidth, dns: &DnsConfig) -> Told {
    let args = [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", namespace(pod)),
        ("K8S_POD_NAME", pod.metadata.name.as_deref().unwrap_or_default()),
        ("K8S_POD_INFRA_CONTAINER_ID", uid(pod)),
        ("K8S_POD_UID", uid(pod)),
    ];
    let mut capabilities = BTreeMap::from([
        ("dns", json!({ "servers": dns.nameservers, "searches": dns.searches, "options": dns.options })),
        ("io.kubernetes.cri.pod-annotations", json!(pod.annotations())),
    ]);
    if !ports.is_empty() {
        capabilities.insert("portMappings", ports.iter().map(HostPort::mapping).collect());
    }
    if bandwidth != Bandwidth::default() {
        capabilities.insert("bandwidth", rates(bandwidth));
    }
    Told {
        args: args.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        capabilities: capabilities.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// Bits a second, with bursts as large as can be said.
fn rates(bandwidth: Bandwidth) -> Value {
    let mut said = json!({});
    let rates = [("ingress", bandwidth.ingress), ("egress", bandwidth.egress)];
    for (way, rate) in rates.into_iter().filter_map(|(way, rate)| Some((way, rate?))) {
        said[format!("{way}Rate")] = json!(rate);
        said[format!("{way}Burst")] = json!(u32::MAX);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_told_who_a_pod_is_and_what_it_asks_for() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u-1", "annotations": { "a": "b" } },
            "spec": { "containers": [{ "name": "c", "ports": [
                { "containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1" }, { "containerPort": 53, "hostPort": 53, "protocol": "UDP" },
            ] }] },
        }))
        .unwrap();
        let ports = HostPort::of(&pod).unwrap();
        let bandwidth = Bandwidth { ingress: Some(1_000_000), egress: None };
        let told = of(&pod, &ports, bandwidth, &DnsConfig::default());
        let args: Vec<String> = told.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "IgnoreUnknown=1 K8S_POD_NAMESPACE=shop K8S_POD_NAME=web K8S_POD_INFRA_CONTAINER_ID=u-1 K8S_POD_UID=u-1";
        assert_eq!(args.join(" "), expected);
        let mappings = json!([
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" },
            { "hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "" },
        ]);
        assert_eq!(told.capabilities["portMappings"], mappings);
        assert_eq!(
            told.capabilities["bandwidth"],
            json!({ "ingressRate": 1_000_000, "ingressBurst": u32::MAX })
        );
        assert_eq!(told.capabilities["io.kubernetes.cri.pod-annotations"], json!({ "a": "b" }));
        let nothing = of(&pod, &[], Bandwidth::default(), &DnsConfig::default());
        assert!(
            !nothing.capabilities.contains_key("portMappings")
                && !nothing.capabilities.contains_key("bandwidth")
        );
    }
}
