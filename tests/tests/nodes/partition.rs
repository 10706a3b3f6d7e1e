//! Packets between machines get lost, and come through again.

use std::process::Command;

use serde_json::json;
use wherry_tests::{Cluster, Host, wait};

use super::asking;

/// The router between the machines loses what these rules are about, until this is dropped.
struct Partition {
    rules: Vec<String>,
}

impl Partition {
    /// Between two machines.
    fn between(one: &Host, other: &Host) -> Self {
        let pairs = [(one.address(), other.address()), (one.address6(), other.address6())];
        Self::of(pairs.iter().flat_map(|(one, other)| {
            [(one, other), (other, one)].map(|(from, to)| format!("from {from} to {to}"))
        }))
    }

    fn of(rules: impl Iterator<Item = String>) -> Self {
        let rules: Vec<String> = rules.collect();
        for rule in &rules {
            assert!(ip_rule("add", rule), "{rule}");
        }
        Self { rules }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        for rule in &self.rules {
            assert!(ip_rule("del", rule), "{rule}");
        }
    }
}

fn ip_rule(what: &str, rule: &str) -> bool {
    let family = if rule.contains(':') { "-6" } else { "-4" };
    let mut command = Command::new("ip");
    command.args([family, "rule", what, "priority", "10"]).args(rule.split(' ')).arg("blackhole");
    command.status().unwrap().success()
}

fn service(cluster: &Cluster, name: &str, who: &str) -> String {
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "who": who }, "ports": [{ "port": 80, "targetPort": 8080 }] } });
    cluster.apply(&service.to_string());
    let ip = cluster.kubectl(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]);
    format!("{ip}:80")
}

/// What does not lead there once, for a Pod.
fn astray(cluster: &Cluster, pod: &str, asked: &[(&str, &str)]) -> String {
    let asked: Vec<_> =
        asked.iter().map(|(name, way)| ((*name).to_owned(), vec![(*way).to_owned()])).collect();
    let script = asking("", &asked).replace("timeout 5", "timeout 1");
    let output = cluster.try_kubectl(&["exec", pod, "-c", "oci", "--", "sh", "-c", &script]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn until_reached(cluster: &Cluster, pod: &str, asked: &[(&str, &str)]) {
    wait::until(&format!("{pod} to reach {asked:?}"), || {
        Some(astray(cluster, pod, asked))
            .filter(String::is_empty)
            .map_or_else(|| Err("lost".to_owned()), |_| Ok(()))
    });
}

/// Two machines lose each other and nobody else: what the control plane says still arrives at both, and all is as before when packets
/// come through again.
pub(crate) fn two_machines_lose_each_other(cluster: &Cluster, hosts: &[Host]) {
    let [near, far] = hosts else { panic!("two machines") };
    let (first, third) = (service(cluster, "first", "wasm-node-1"), service(cluster, "third", "wasm-node-3"));
    let moving = service(cluster, "moving", "wasm-node-3");
    let all = [("wasm-node-1", first.as_str()), ("wasm-node-3", &third), ("wasm-node-3", &moving)];
    for pod in ["oci-node-1", "oci-node-2"] {
        until_reached(cluster, pod, &all);
    }
    let partition = Partition::between(near, far);
    let lost = wait::until("packets to be lost", || {
        let lost = astray(cluster, "oci-node-2", &all);
        if lost.is_empty() { Err("none is".to_owned()) } else { Ok(lost) }
    });
    assert_eq!(lost.lines().count(), 2, "what is on the first machine is reached: {lost}");
    until_reached(cluster, "oci-node-1", &all);
    // A Service that moves to where it is reached does so for a machine of the partition, too.
    cluster.kubectl(&["patch", "service", "moving", "-p", r#"{"spec":{"selector":{"who":"wasm-node-1"}}}"#]);
    until_reached(cluster, "oci-node-2", &[("wasm-node-1", &moving)]);
    cluster.wait_for("condition=Ready", &["nodes", "--all"]);
    drop(partition);
    until_reached(cluster, "oci-node-2", &[("wasm-node-3", &third)]);
    let restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let restarts = cluster.kubectl(&["get", "pods", "-o", restarts]);
    assert!(restarts.split(' ').all(|count| count == "0"), "{restarts}");
}
