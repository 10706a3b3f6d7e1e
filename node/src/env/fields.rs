//! Fields of a pod and its containers' resources, as environment variables and downward API volumes show them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use wherry_api::quantity::Quantity;

/// A field that cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    /// No such field, or not one that can be shown.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// No such resource.
    #[error("unsupported container resource: {0}")]
    Resource(String),
    /// No such container.
    #[error("container {0} not found")]
    Container(String),
    /// A quantity that cannot be parsed.
    #[error("cannot parse quantity {0:?}")]
    Quantity(String),
}

/// What only the node knows of a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFields {
    /// The pod's addresses, once it has some.
    pub(crate) pod_ips: Vec<IpAddr>,
    /// The node's addresses.
    pub(crate) host_ips: Vec<IpAddr>,
    /// What pods may use of the node: limits that are not set count as this.
    pub(crate) allocatable: BTreeMap<String, String>,
}

/// The value of a pod's field.
pub(crate) fn field(pod: &Pod, path: &str, node: &NodeFields) -> Result<String, FieldError> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(FieldError::Field(path.to_owned())),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" => node.host_ips.first().map(ToString::to_string),
        "status.hostIPs" => Some(list(&node.host_ips)),
        "status.podIP" => node.pod_ips.first().map(ToString::to_string),
        "status.podIPs" => Some(list(&node.pod_ips)),
        _ => return Err(FieldError::Field(path.to_owned())),
    };
    Ok(value.unwrap_or_default())
}

fn list(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `key="value"` lines with Go's quoting, sorted by key.
fn lines(values: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    values.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// The value of a container's resource field; `container` is the one that asks, unless the selector names another.
pub(crate) fn resource(
    pod: &Pod,
    container: Option<&Container>,
    selector: &ResourceFieldSelector,
    node: &NodeFields,
) -> Result<String, FieldError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match named {
        Some(name) => find(pod, name).ok_or_else(|| FieldError::Container(name.to_owned()))?,
        None => container.ok_or_else(|| FieldError::Container(String::new()))?,
    };
    let unknown = || FieldError::Resource(selector.resource.clone());
    let (list, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return Err(unknown());
    }
    let resources = container.resources.as_ref();
    let own = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let own = own.and_then(|list| list.get(name)).map(|quantity| quantity.0.as_str());
    let fallback = || node.allocatable.get(name).map(String::as_str).filter(|_| list == "limits");
    let divisor = selector.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let divisor = if divisor == "0" || divisor.is_empty() { "1" } else { divisor };
    divide(own.or_else(fallback).unwrap_or("0"), divisor, name == "cpu")
}

fn find<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|container| container.name == name)
}

/// Divides and rounds up, cpu in thousandths.
fn divide(value: &str, divisor: &str, is_cpu: bool) -> Result<String, FieldError> {
    let parse = |text: &str| {
        let quantity: Quantity = text.parse().map_err(|_| FieldError::Quantity(text.to_owned()))?;
        Ok(if is_cpu { quantity.as_milli() } else { quantity.value() })
    };
    let (value, divisor) = (parse(value)?, parse(divisor)?.max(1));
    Ok(((value + divisor - 1) / divisor).to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u-1",
                "labels": { "app": "web", "a/b": "c" }, "annotations": { "note": "two\nlines" } },
            "spec": { "nodeName": "n1", "containers": [
                { "name": "main", "resources": { "limits": { "memory": "64Mi" }, "requests": { "cpu": "250m" } } },
            ] },
        }))
        .unwrap()
    }

    fn node() -> NodeFields {
        let allocatable = BTreeMap::from([("cpu".to_owned(), "2".to_owned())]);
        let ips = |all: [&str; 2]| all.map(|ip| ip.parse().unwrap()).to_vec();
        NodeFields {
            pod_ips: ips(["10.0.0.5", "fd00::5"]),
            host_ips: ips(["10.9.9.9", "fd09::9"]),
            allocatable,
        }
    }

    #[rstest]
    #[case("metadata.name", "web")]
    #[case("metadata.labels['app']", "web")]
    #[case("metadata.labels['a/b']", "c")]
    #[case("metadata.labels['none']", "")]
    #[case("metadata.labels", "a/b=\"c\"\napp=\"web\"")]
    #[case("metadata.annotations", "note=\"two\\nlines\"")]
    #[case("spec.nodeName", "n1")]
    #[case("status.podIP", "10.0.0.5")]
    #[case("status.podIPs", "10.0.0.5,fd00::5")]
    #[case("status.hostIP", "10.9.9.9")]
    #[case("status.hostIPs", "10.9.9.9,fd09::9")]
    fn fields(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(field(&pod(), path, &node()).unwrap(), expected);
    }

    #[rstest]
    #[case("limits.memory", None, "67108864")]
    #[case("limits.memory", Some("1Mi"), "64")]
    #[case("requests.cpu", Some("1m"), "250")]
    #[case("requests.cpu", None, "1")]
    #[case("limits.cpu", None, "2")]
    #[case("requests.memory", None, "0")]
    fn resources(#[case] name: &str, #[case] divisor: Option<&str>, #[case] expected: &str) {
        let selector: ResourceFieldSelector =
            serde_json::from_value(json!({ "resource": name, "divisor": divisor, "containerName": "main" }))
                .unwrap();
        assert_eq!(resource(&pod(), None, &selector, &node()).unwrap(), expected);
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let error = field(&pod(), "status.phase", &node()).unwrap_err();
        assert_eq!(error.to_string(), "unsupported fieldPath: status.phase");
    }
}
