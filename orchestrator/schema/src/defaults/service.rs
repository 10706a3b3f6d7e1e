//! Defaults of Services and of their endpoints.

use super::{child, default, items, text};
use crate::value::{Object, Str, Value};

pub(super) fn service(service: &mut Object) {
    if let Some(spec) = child(service, "spec") {
        service_spec(spec);
    }
    let balancer = child(service, "status").and_then(|status| child(status, "loadBalancer"));
    for ingress in balancer.into_iter().flat_map(|balancer| items(balancer, "ingress")) {
        if ingress.contains("ip") {
            default(ingress, &"ipMode", text(&"VIP"));
        }
    }
}

fn service_spec(spec: &mut Object) {
    default(spec, &"type", text(&"ClusterIP"));
    default(spec, &"sessionAffinity", text(&"None"));
    items(spec, "ports").for_each(service_port);
    session_affinity(spec);
    let addressed = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    match spec.get("type").and_then(Value::as_str) {
        Some("LoadBalancer") => {
            default(spec, &"allocateLoadBalancerNodePorts", true);
            default(spec, &"externalTrafficPolicy", text(&"Cluster"));
            default(spec, &"internalTrafficPolicy", text(&"Cluster"));
        }
        Some("NodePort") => {
            default(spec, &"externalTrafficPolicy", text(&"Cluster"));
            default(spec, &"internalTrafficPolicy", text(&"Cluster"));
        }
        Some("ClusterIP") => {
            if addressed {
                default(spec, &"externalTrafficPolicy", text(&"Cluster"));
            }
            default(spec, &"internalTrafficPolicy", text(&"Cluster"));
        }
        _ => {}
    }
}

/// Client affinity has a time; no affinity has no settings.
fn session_affinity(spec: &mut Object) {
    match spec.get("sessionAffinity").and_then(Value::as_str) {
        Some("ClientIP") => {
            let config = spec.object_mut(Str::fixed(&"sessionAffinityConfig"));
            default(config.object_mut(Str::fixed(&"clientIP")), &"timeoutSeconds", 10_800);
        }
        Some("None") => drop(spec.remove("sessionAffinityConfig")),
        _ => {}
    }
}

fn service_port(port: &mut Object) {
    default(port, &"protocol", text(&"TCP"));
    let unset = match port.get("targetPort") {
        None | Some(Value::Int(0)) => true,
        Some(target) => target.as_str() == Some(""),
    };
    if let (true, Some(number)) = (unset, port.get("port").cloned()) {
        port.insert(Str::fixed(&"targetPort"), number);
    }
}

pub(super) fn endpoints(endpoints: &mut Object) {
    for subset in items(endpoints, "subsets") {
        for port in items(subset, "ports") {
            default(port, &"protocol", text(&"TCP"));
        }
    }
}

pub(super) fn endpoint_slice(slice: &mut Object) {
    for port in items(slice, "ports") {
        default(port, &"name", text(&""));
        default(port, &"protocol", text(&"TCP"));
    }
}
