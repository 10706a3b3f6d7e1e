//! Servers over TCP and UDP, asked by another Pod and by the node.

use std::process::Command;

use serde_json::json;
use wherry_tests::pods::shell;
use wherry_tests::{Cluster, wait};

const SERVERS: [&str; 2] = ["netserver-0", "netserver-1"];

/// Starts servers that answer with their names, over HTTP at port 8080 and over UDP at 8081; their addresses.
pub(crate) fn servers(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let script = "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
    for name in SERVERS {
        let datagrams = json!({ "name": "udp", "image": "127.0.0.1:5000/udp-names:v1" });
        let spec =
            json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("http", script), datagrams] });
        cluster.run_pod(name, &spec);
    }
    let started = |name: &'static str| {
        cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
        (name, cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"]))
    };
    SERVERS.map(started).into()
}

/// A question over HTTP.
pub(crate) fn over_http(ip: &str, port: u16) -> String {
    format!("busybox wget -q -O- http://{ip}:{port}/; true")
}

/// A question to which the server answers with its name, by the only client over UDP that busybox has.
pub(crate) fn over_udp(ip: &str, port: u16) -> String {
    format!(
        "busybox nslookup -type=txt -timeout=1 -retry=1 who. {ip}:{port} | sed -n 's/.*text = \"\\(.*\\)\"/\\1/p'"
    )
}

fn asked_by_pod(cluster: &Cluster, name: &str, script: &str) {
    cluster.exec_until("client", script, |answer| answer.trim() == name);
}

/// Waits until the server of this name answers the node.
pub(crate) fn asked_by_node(name: &str, script: &str) {
    wait::until(&format!("answer of {name} to the node"), || {
        let output = Command::new("sh").args(["-c", script]).output().expect("a shell");
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if answer == name { Ok(()) } else { Err(answer) }
    });
}

/// [sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http.
pub(crate) fn networking_intra_pod_http(cluster: &Cluster, servers: &[(&str, String)]) {
    for (name, ip) in servers {
        asked_by_pod(cluster, name, &over_http(ip, 8080));
    }
}

/// [sig-network] Networking Granular Checks: Pods should function for intra-pod communication: udp.
pub(crate) fn networking_intra_pod_udp(cluster: &Cluster, servers: &[(&str, String)]) {
    for (name, ip) in servers {
        asked_by_pod(cluster, name, &over_udp(ip, 8081));
    }
}

/// [sig-network] Networking Granular Checks: Pods should function for node-pod communication: http.
pub(crate) fn networking_intra_pod_http_from_node(servers: &[(&str, String)]) {
    for (name, ip) in servers {
        asked_by_node(name, &over_http(ip, 8080));
    }
}

/// [sig-network] Networking Granular Checks: Pods should function for node-pod communication: udp.
pub(crate) fn networking_intra_pod_udp_from_node(servers: &[(&str, String)]) {
    for (name, ip) in servers {
        asked_by_node(name, &over_udp(ip, 8081));
    }
}
