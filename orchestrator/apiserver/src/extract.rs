//! What selectors look at: labels and selectable fields, extracted from an object's bytes when it is written.
//!
//! Labels keep their keys; fields are prefixed with `=`, which no label key can contain. Names and namespaces are not
//! extracted, because the storage key says them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use wherry_store::{Attributes, Extractor};

/// The attribute that lists a Service's cluster IPs, separated by commas.
pub(crate) const CLUSTER_IPS: &str = "=clusterIPs";
/// The attribute that lists a Service's node ports as `PROTOCOL/PORT`, separated by commas.
pub(crate) const NODE_PORTS: &str = "=nodePorts";
/// The attribute of the PriorityClass of Pods that name none.
pub(crate) const GLOBAL_DEFAULT: &str = "=globalDefault";

type Text<'a> = Option<Cow<'a, str>>;

/// The fields that any kind can be selected by.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selected<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<Spec<'a>>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    reporting_component: Text<'a>,
    global_default: Option<bool>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
    #[serde(borrow)]
    involved_object: Option<BTreeMap<&'a str, Cow<'a, str>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    pod_name: Text<'a>,
    #[serde(borrow)]
    restart_policy: Text<'a>,
    #[serde(borrow)]
    scheduler_name: Text<'a>,
    #[serde(borrow)]
    service_account_name: Text<'a>,
    host_network: Option<bool>,
    unschedulable: Option<bool>,
    #[serde(borrow)]
    signer_name: Text<'a>,
    #[serde(borrow)]
    driver: Text<'a>,
    #[serde(rename = "clusterIP", borrow)]
    cluster_ip: Text<'a>,
    #[serde(rename = "clusterIPs", borrow)]
    cluster_ips: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    ports: Option<Vec<Port<'a>>>,
    health_check_node_port: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port<'a> {
    #[serde(borrow)]
    protocol: Text<'a>,
    node_port: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(rename = "podIP", borrow)]
    pod_ip: Text<'a>,
    #[serde(borrow)]
    nominated_node_name: Text<'a>,
    replicas: Option<i64>,
    succeeded: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    component: Text<'a>,
}

/// Only labels, for kinds without selectable fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Labelled<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

/// The extractor to open the store with.
pub fn extractor() -> Extractor {
    Arc::new(extract)
}

/// The attributes of a value under a key.
pub(crate) fn extract(key: &str, value: &[u8]) -> Attributes {
    let kind = resource(key);
    let selectable = SELECTABLE.contains(&kind);
    let mut pairs = Vec::new();
    if !selectable {
        let object: Labelled<'_> = serde_json::from_slice(value).unwrap_or_default();
        labels(&mut pairs, object.metadata);
        return pairs.into();
    }
    let Ok(object) = serde_json::from_slice::<Selected<'_>>(value) else { return Attributes::default() };
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    labels(&mut pairs, object.metadata);
    let mut add = |name: &str, value: Text<'_>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            pairs.push((name.to_owned(), value.into_owned()));
        }
    };
    let flag = |value: Option<bool>| Some(Cow::Borrowed(if value == Some(true) { "true" } else { "false" }));
    match kind {
        "pods" => {
            add("=spec.nodeName", spec.node_name);
            add("=spec.restartPolicy", spec.restart_policy);
            add("=spec.schedulerName", spec.scheduler_name);
            add("=spec.serviceAccountName", spec.service_account_name);
            add("=spec.hostNetwork", flag(spec.host_network));
            add("=status.phase", status.phase);
            add("=status.podIP", status.pod_ip);
            add("=status.nominatedNodeName", status.nominated_node_name);
        }
        "services" => {
            let ports = node_ports(spec.ports.as_deref().unwrap_or_default(), spec.health_check_node_port);
            add(NODE_PORTS, Some(ports.into()));
            add(CLUSTER_IPS, spec.cluster_ips.map(|ips| ips.join(",").into()));
            add("=spec.clusterIP", spec.cluster_ip);
            add("=spec.type", spec.kind);
        }
        "events" => {
            for (field, value) in object.involved_object.unwrap_or_default() {
                add(&format!("=involvedObject.{field}"), Some(value));
            }
            let component = object.source.and_then(|s| s.component).filter(|c| !c.is_empty());
            add("=source", component.or_else(|| object.reporting_component.clone()));
            add("=reason", object.reason);
            add("=reportingComponent", object.reporting_component);
            add("=type", object.kind);
        }
        "nodes" => add("=spec.unschedulable", flag(spec.unschedulable)),
        "namespaces" => add("=status.phase", status.phase),
        "priorityclasses" => {
            add(GLOBAL_DEFAULT, object.global_default.filter(|is| *is).map(|_| "true".into()));
        }
        "replicationcontrollers" => add("=status.replicas", Some(number(status.replicas))),
        "jobs" => add("=status.successful", Some(number(status.succeeded))),
        "certificatesigningrequests" | "clustertrustbundles" => add("=spec.signerName", spec.signer_name),
        "podcertificaterequests" => {
            add("=spec.signerName", spec.signer_name);
            add("=spec.podName", spec.pod_name);
            add("=spec.nodeName", spec.node_name);
        }
        "resourceslices" => {
            add("=spec.nodeName", spec.node_name);
            add("=spec.driver", spec.driver);
        }
        _ => add("=type", object.kind),
    }
    pairs.into()
}

/// The resources with fields to select by, or to find them by.
const SELECTABLE: [&str; 13] = [
    "pods",
    "services",
    "events",
    "nodes",
    "namespaces",
    "secrets",
    "replicationcontrollers",
    "jobs",
    "certificatesigningrequests",
    "clustertrustbundles",
    "podcertificaterequests",
    "resourceslices",
    "priorityclasses",
];

/// The resource a key is of, if it is built in and has fields to select by; a group stands before it in the keys of most.
fn resource(key: &str) -> &str {
    let mut parts = key.strip_prefix("/registry/").unwrap_or_default().split('/');
    let first = parts.next().unwrap_or_default();
    match (first, parts.next()) {
        (
            "apps"
            | "batch"
            | "autoscaling"
            | "policy"
            | "certificates.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io",
            Some(second),
        ) => second,
        // Custom kinds may be called like built-in ones; their fields are looked at when they are selected by.
        _ if first.contains('.') => "",
        _ => first,
    }
}

/// A number as selectors see it: nothing counts as zero.
fn number(value: Option<i64>) -> Cow<'static, str> {
    Cow::Owned(value.unwrap_or(0).to_string())
}

fn labels(pairs: &mut Vec<(String, String)>, metadata: Metadata<'_>) {
    let labels = metadata.labels.unwrap_or_default();
    pairs.extend(labels.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())));
}

fn node_ports(ports: &[Port<'_>], health_check: Option<u32>) -> String {
    let mut taken: Vec<String> = Vec::new();
    for port in ports {
        if let Some(number) = port.node_port.filter(|n| *n > 0) {
            taken.push(format!("{}/{number}", port.protocol.as_deref().unwrap_or("TCP")));
        }
    }
    taken.extend(health_check.filter(|n| *n > 0).map(|number| format!("TCP/{number}")));
    taken.join(",")
}

#[cfg(test)]
mod tests {
    use super::extract;

    #[test]
    fn a_pods_labels_and_fields_are_found() {
        let pod = br#"{"metadata":{"labels":{"app":"a"}},"spec":{"nodeName":"n1","containers":[]},"status":{"phase":"Running"}}"#;
        let attributes = extract("/registry/pods/ns/p", pod);
        assert_eq!(attributes.get("app"), Some("a"));
        assert_eq!(attributes.get("=spec.nodeName"), Some("n1"));
        assert_eq!(attributes.get("=status.phase"), Some("Running"));
        assert_eq!(attributes.get("=spec.hostNetwork"), Some("false"));
        assert_eq!(attributes.get("=status.podIP"), None);
    }

    #[test]
    fn a_services_addresses_are_found() {
        let service = br#"{"metadata":{},"spec":{"clusterIPs":["10.0.0.1"],"ports":[{"port":1,"nodePort":30000,"protocol":"UDP"},{"port":2}]}}"#;
        let attributes = extract("/registry/services/ns/s", service);
        assert_eq!(attributes.get(super::CLUSTER_IPS), Some("10.0.0.1"));
        assert_eq!(attributes.get(super::NODE_PORTS), Some("UDP/30000"));
    }

    #[test]
    fn the_default_among_priority_classes_is_found() {
        let of = |class: &[u8]| extract("/registry/scheduling.k8s.io/priorityclasses/c", class);
        let default = of(br#"{"metadata":{},"value":5,"globalDefault":true}"#);
        assert_eq!(default.get(super::GLOBAL_DEFAULT), Some("true"));
        let other = of(br#"{"metadata":{},"value":5,"globalDefault":false}"#);
        assert_eq!(other.get(super::GLOBAL_DEFAULT), None);
    }

    #[test]
    fn counts_and_names_of_kinds_in_groups_are_found() {
        let job = extract(
            "/registry/batch/jobs/ns/j",
            br#"{"metadata":{},"spec":{"completions":3},"status":{"succeeded":2}}"#,
        );
        assert_eq!(job.get("=status.successful"), Some("2"));
        let controller =
            extract("/registry/replicationcontrollers/ns/r", br#"{"metadata":{},"spec":{"replicas":3}}"#);
        assert_eq!(controller.get("=status.replicas"), Some("0"));
        let slice = extract(
            "/registry/resource.k8s.io/resourceslices/s",
            br#"{"metadata":{},"spec":{"nodeName":"n","driver":"d"}}"#,
        );
        assert_eq!((slice.get("=spec.nodeName"), slice.get("=spec.driver")), (Some("n"), Some("d")));
    }

    #[test]
    fn a_custom_kind_is_not_taken_for_a_built_in_one_of_its_name() {
        let pod = br#"{"metadata":{"labels":{"app":"a"}},"spec":{"nodeName":7}}"#;
        let attributes = extract("/registry/example.com/pods/ns/p", pod);
        assert_eq!((attributes.get("app"), attributes.len()), (Some("a"), 1));
    }

    #[test]
    fn bytes_that_are_no_object_have_no_attributes() {
        assert!(extract("/registry/pods/ns/p", b"not json").is_empty());
    }
}
