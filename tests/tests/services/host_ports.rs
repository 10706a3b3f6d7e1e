//! Ports of the node that lead to Pods.

use serde_json::json;
use wherry_tests::Cluster;
use wherry_tests::pods::{shell, with};

use crate::networking::{asked_by_node, over_http, over_udp};

const PORT: u16 = 54323;

/// [sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol.
pub(crate) fn scheduling_hostport_matching_and_hostip_and_protocol_not_matching(cluster: &Cluster) {
    let node = cluster.kubectl(&["get", "pod", "client", "-o", "jsonpath={.status.hostIP}"]);
    let pods = [("pod1", "127.0.0.1", "TCP"), ("pod2", node.as_str(), "TCP"), ("pod3", node.as_str(), "UDP")];
    for (name, address, protocol) in pods {
        let asked =
            json!([{ "containerPort": 8080, "hostPort": PORT, "hostIP": address, "protocol": protocol }]);
        let script = "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
        let server = match protocol {
            "TCP" => shell("main", script),
            _ => json!({ "name": "main", "image": "127.0.0.1:5000/udp-names:v1", "args": ["0.0.0.0:8080"] }),
        };
        let server = with(server, json!({ "ports": asked }));
        cluster.run_pod(
            name,
            &json!({ "nodeName": "node-1", "terminationGracePeriodSeconds": 0, "containers": [server] }),
        );
    }
    for (name, _, _) in pods {
        cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
    }
    asked_by_node("pod1", &over_http("127.0.0.1", PORT));
    asked_by_node("pod2", &over_http(&node, PORT));
    asked_by_node("pod3", &over_udp(&node, PORT));
    cluster.kubectl(&["delete", "pod", "pod1", "pod2", "pod3", "--wait=false"]);
}
