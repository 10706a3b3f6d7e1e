//! NetworkPolicies in a cluster: Pods of a fenced namespace, of OCI and of wasm containers, and a client outside of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, http, wait};

use crate::reach::NAME;

const FENCED: &str = "fenced";
/// The kinds of Pods behind the fence.
const KINDS: [&str; 3] = ["oci", "wasm", "mixed"];

fn create(cluster: &Cluster, kind: &str, api: &str, name: &str, spec: &Value) {
    let metadata = json!({ "namespace": FENCED, "name": name, "labels": { "who": name } });
    cluster
        .apply(&json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec }).to_string());
}

fn policy(cluster: &Cluster, name: &str, spec: &Value) {
    create(cluster, "NetworkPolicy", "networking.k8s.io/v1", name, spec);
}

/// A server that answers `/env/WHO`, with a Service. A wasm container also fetches what it is asked to.
fn server(cluster: &Cluster, kind: &str) {
    let wasm = json!({ "name": "wasm", "image": "127.0.0.1:5000/http:v1", "env": [{ "name": "WHO", "value": kind }],
        "ports": [{ "containerPort": 8080 }] });
    let page = format!("mkdir -p /tmp/env; printf {kind} > /tmp/env/WHO; exec httpd -f -p 8080 -h /tmp");
    let ready = json!({ "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 } });
    let containers = match kind {
        "wasm" => json!([with(wasm, ready)]),
        "oci" => json!([with(shell("oci", &page), ready)]),
        _ => json!([with(wasm, ready), shell("oci", IDLE)]),
    };
    let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": containers });
    create(cluster, "Pod", "v1", kind, &spec);
    let spec = json!({ "selector": { "who": kind }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    create(cluster, "Service", "v1", kind, &spec);
}

fn field(cluster: &Cluster, what: &str, name: &str, path: &str) -> String {
    cluster.kubectl(&["get", what, name, "-n", FENCED, "-o", &format!("jsonpath={{{path}}}")])
}

/// A script of the client that prints each of these that answers with its name.
fn asking(cluster: &Cluster) -> String {
    let ask = |kind: &str| {
        let pod = field(cluster, "pod", kind, ".status.podIP");
        let service = field(cluster, "service", kind, ".spec.clusterIP");
        format!(
            "timeout 1 wget -q -O- http://{pod}:8080/env/WHO; echo; timeout 1 wget -q -O- http://{service}/env/WHO; echo; "
        )
    };
    format!("{}true", KINDS.map(ask).concat())
}

/// Waits until the client is answered by exactly these, by address and through their Services.
fn until_reached(cluster: &Cluster, script: &str, kinds: &[&str]) {
    let expected: Vec<&str> = kinds.iter().flat_map(|kind| [*kind, *kind]).collect();
    cluster.exec_until("client", script, |text| {
        text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>() == expected
    });
}

/// Nothing comes in or out, from the first moment of a Pod on, but what policies let through.
pub(crate) fn network_policies_fence_pods_in(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", FENCED]);
    policy(cluster, "deny", &json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    let hosts =
        cluster.kubectl(&["get", "pods", "-l", "app=hosts", "-o", "jsonpath={.items[0].status.podIP}"]);
    // The very first thing it does.
    let script = format!(
        "timeout 1 wget -q -O- http://{hosts}:9376{NAME} >/dev/null && echo leaked || echo kept; {IDLE}"
    );
    let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", &script)] });
    create(cluster, "Pod", "v1", "early", &spec);
    for kind in KINDS {
        server(cluster, kind);
    }
    cluster.wait_for("condition=Ready", &["pods", "--all", "-n", FENCED]);

    // Probes of the node passed; the client does not.
    let script = asking(cluster);
    until_reached(cluster, &script, &[]);
    let from_default =
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "default" } } });
    let rule = |who: &str| {
        json!({ "podSelector": { "matchExpressions": [{ "key": "who", "operator": "In", "values": [who, "mixed"] }] },
            "policyTypes": ["Ingress"], "ingress": [{ "from": [from_default], "ports": [{ "port": 8080 }] }] })
    };
    policy(cluster, "let-in", &rule("wasm"));
    until_reached(cluster, &script, &["wasm", "mixed"]);
    policy(cluster, "let-in", &rule("oci"));
    until_reached(cluster, &script, &["oci", "mixed"]);

    // What guests ask for is held to it, too. The node itself may ask them.
    let fetched = &|kind: &str| {
        let at: SocketAddr =
            format!("{}:8080", field(cluster, "pod", kind, ".status.podIP")).parse().unwrap();
        http::get(at, &format!("/get/{hosts}:9376{NAME}"))
            .is_ok_and(|answer| answer.body.starts_with("hosts-"))
    };
    // A denied connection is given up after a while: both are asked at once.
    let leaked = std::thread::scope(|scope| {
        let asking = ["wasm", "mixed"].map(|kind| scope.spawn(move || fetched(kind)));
        asking.map(|asking| asking.join().unwrap())
    });
    assert_eq!(leaked, [false, false]);
    let out = json!({ "podSelector": {}, "policyTypes": ["Egress"],
        "egress": [{ "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "hosts" } } }] }] });
    policy(cluster, "let-out", &out);
    for kind in ["wasm", "mixed"] {
        let what = format!("the guest of {kind} to be let out");
        wait::until(&what, || if fetched(kind) { Ok(()) } else { Err("it is not".to_owned()) });
    }
    // The shell may tell of the client that it ended, before or after: that is another stream.
    let early = cluster.kubectl(&["logs", "early", "-n", FENCED]);
    let said: Vec<_> = early.lines().filter(|line| *line != "Terminated").collect();
    assert_eq!(said, ["kept"], "{early}");
    cluster.kubectl(&["delete", "namespace", FENCED, "--wait=false"]);
}
