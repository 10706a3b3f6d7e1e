//! Services of type LoadBalancer: their ports at the addresses of the nodes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use serde_json::{Value, json};
use wherry_tests::{Cluster, http, wait};

use crate::reach::{NAME, service_of_hosts, until_answered_by};

/// Where the Service is reached, once that is known.
fn address(cluster: &Cluster, name: &str) -> String {
    let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    cluster.kubectl_until(&["get", "service", name, "-o", path], |text| !text.is_empty())
}

fn patch(cluster: &Cluster, name: &str, spec: &Value) {
    cluster.kubectl(&["patch", "service", name, "-p", &json!({ "spec": spec }).to_string()]);
}

/// The ports are open at the node's address without a NodePort, to those who may come, for one Service at a time.
pub(crate) fn load_balancers_open_ports_of_nodes(cluster: &Cluster) {
    service_of_hosts(cluster, "balanced", "type: LoadBalancer\n  allocateLoadBalancerNodePorts: false");
    let node = cluster.kubectl(&["get", "pod", "client", "-o", "jsonpath={.status.hostIP}"]);
    assert_eq!(address(cluster, "balanced"), node);
    assert!(cluster.get(&["service", "balanced"])["spec"]["ports"][0].get("nodePort").is_none());
    let shown = cluster.kubectl(&["get", "service", "balanced", "--no-headers"]);
    assert_eq!(shown.split_whitespace().nth(3), Some(node.as_str()), "{shown}");
    until_answered_by(cluster, &node, 2..=3);
    let at: SocketAddr = format!("{node}:80").parse().unwrap();
    assert!(http::get(at, NAME).unwrap().body.starts_with("hosts-"));

    service_of_hosts(cluster, "late", "type: LoadBalancer\n  loadBalancerClass: wherry");
    let problem = "port 80/TCP leads to the Service default/balanced";
    let path = "jsonpath={.status.conditions[?(@.type=='LoadBalancerPortsError')].message}";
    cluster.kubectl_until(&["get", "service", "late", "-o", path], |text| text.starts_with(problem));
    let events =
        ["get", "events", "--field-selector", "involvedObject.name=late,reason=SyncLoadBalancerFailed"];
    cluster.kubectl_until(&events, |text| text.contains(problem));
    service_of_hosts(cluster, "others", "type: LoadBalancer\n  loadBalancerClass: example.com/other");

    patch(cluster, "balanced", &json!({ "loadBalancerSourceRanges": ["203.0.113.0/24"] }));
    let script = format!("timeout 2 wget -q -O- http://{node}{NAME} >/dev/null && echo in || echo out");
    cluster.exec_until("client", &script, |text| text.trim() == "out");

    patch(cluster, "balanced", &json!({ "type": "ClusterIP", "loadBalancerSourceRanges": null }));
    assert_eq!(address(cluster, "late"), node);
    until_answered_by(cluster, &node, 2..=3);
    for name in ["balanced", "others"] {
        let status = &cluster.get(&["service", name])["status"];
        assert_eq!(status["loadBalancer"].get("ingress"), None, "{name}: {status}");
    }
    cluster.kubectl(&["delete", "service", "balanced", "late", "others"]);
}

/// With `externalTrafficPolicy: Local` only nodes with endpoints are sent to, and every node tells whether it is one.
pub(crate) fn load_balancers_ask_nodes_for_their_endpoints(cluster: &Cluster) {
    service_of_hosts(cluster, "local", "type: LoadBalancer\n  externalTrafficPolicy: Local");
    let node = address(cluster, "local");
    let port = cluster.kubectl(&["get", "service", "local", "-o", "jsonpath={.spec.healthCheckNodePort}"]);
    let at: SocketAddr = format!("{node}:{port}").parse().unwrap();
    let told = |what: &str, status: u16, endpoints: usize| {
        let answer = wait::until(what, || match http::get(at, "/healthz") {
            Ok(answer) if answer.status == status => Ok(answer),
            other => Err(format!("{other:?}")),
        });
        let expected = json!({
            "service": { "namespace": "default", "name": "local" },
            "localEndpoints": endpoints, "serviceProxyHealthy": true,
        });
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), expected);
    };
    told("the node to have endpoints", 200, 3);
    patch(cluster, "local", &json!({ "selector": { "app": "nobody" } }));
    told("the node to have no endpoints", 503, 0);
    let path = "jsonpath={.status.loadBalancer.ingress}";
    cluster.kubectl_until(&["get", "service", "local", "-o", path], str::is_empty);
    cluster.kubectl(&["delete", "service", "local"]);
    wait::until("the port to be closed", || {
        http::get(at, "/").map_or(Ok(()), |answer| Err(format!("{answer:?}")))
    });
}

/// An address that no machine has leads to the Service of it.
pub(crate) fn external_ips_lead_to_their_service(cluster: &Cluster) {
    service_of_hosts(cluster, "named", "externalIPs: [203.0.113.9]");
    until_answered_by(cluster, "203.0.113.9", 2..=3);
    cluster.kubectl(&["delete", "service", "named"]);
}
