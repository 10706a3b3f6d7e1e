//! Packets between machines get lost, and come through again.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wherry_tests::{Cluster, Host, http, wait};

use super::{asking, until_silent};

/// The router between the machines loses packets from each of these ranges to the other, until this is dropped.
struct Partition;

const TABLE: &str = "inet partition";

impl Partition {
    /// Between two machines.
    fn between(one: &Host, other: &Host) -> Self {
        let pairs = [(one.address(), other.address()), (one.address6(), other.address6())];
        Self::of(pairs.iter().flat_map(|(one, other)| [lost(one, Some(other)), lost(other, Some(one))]))
    }

    /// Between a machine, with its Pods, and all others.
    fn around(cluster: &Cluster, host: &Host) -> Self {
        let node = cluster.get(&["node", host.name()]);
        let pods = node["spec"]["podCIDRs"].as_array().unwrap().iter().filter_map(Value::as_str);
        let ranges = [host.address(), host.address6()].into_iter().chain(pods);
        Self::of(ranges.map(|range| lost(range, None)))
    }

    /// By rules that come before all others, also for what is to the router itself and from it.
    fn of(rules: impl Iterator<Item = String>) -> Self {
        let rules: String = rules.collect();
        let hooks = ["prerouting", "output"]
            .map(|hook| format!("chain {hook} {{ type filter hook {hook} priority -400; {rules} }}\n"));
        nft(&format!("table {TABLE} {{ {} }}", hooks.concat()));
        Self
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        nft(&format!("delete table {TABLE}"));
    }
}

/// The rules that lose what goes from one range to another, or all that goes from it and to it.
fn lost(from: &str, to: Option<&str>) -> String {
    let family = if from.contains(':') { "ip6" } else { "ip" };
    match to {
        Some(to) => format!("{family} saddr {from} {family} daddr {to} drop; "),
        None => format!("{family} saddr {from} drop; {family} daddr {from} drop; "),
    }
}

fn nft(script: &str) {
    assert!(Command::new("nft").arg(script).status().unwrap().success(), "{script}");
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

/// A machine that nobody hears of gets no more requests once it counts as lost, and gets them again when it is back.
pub(crate) fn a_machine_is_lost_and_comes_back(cluster: &Cluster, hosts: &[Host]) {
    let spread = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "spread" },
        "spec": { "selector": { "spread": "yes" }, "ports": [{ "port": 80, "targetPort": 8080 }] } });
    cluster.apply(&spread.to_string());
    cluster.kubectl(&["label", "pod", "wasm-node-1", "wasm-node-3", "spread=yes"]);
    let ip = cluster.kubectl(&["get", "service", "spread", "-o", "jsonpath={.spec.clusterIP}"]);
    let address: SocketAddr = format!("{ip}:80").parse().unwrap();
    let answers = || -> Vec<String> {
        let ask = || http::get_within(address, "/env/WHO", Duration::from_millis(500));
        (0..12).map(|_| ask().map_or_else(|error| error.to_string(), |answer| answer.body)).collect()
    };
    let by = |wanted: &'static [&'static str]| {
        wait::until(&format!("answers by {wanted:?}"), || {
            let answers = answers();
            let are_all = wanted.iter().all(|name| answers.iter().any(|answer| answer == name));
            let are_known = answers.iter().all(|answer| wanted.contains(&answer.as_str()));
            if are_all && are_known { Ok(()) } else { Err(format!("{answers:?}")) }
        });
    };
    by(&["wasm-node-1", "wasm-node-3"]);
    let partition = Partition::around(cluster, &hosts[1]);
    cluster.wait_for("condition=Ready=Unknown", &["node/node-3"]);
    by(&["wasm-node-1"]);
    drop(partition);
    cluster.wait_for("condition=Ready", &["node/node-3"]);
    by(&["wasm-node-1", "wasm-node-3"]);
    let near = [("wasm-node-3".to_owned(), vec![address.to_string()])];
    // By the machine's own way, too: it asks until it was answered by itself.
    let until_own = format!(
        "for i in 1 2 3 4 5 6 7 8; do [ -z \"$({})\" ] && exit 0; done; echo lost",
        asking("", &near)
    );
    until_silent("node-3 to reach its own", || hosts[1].run(&until_own));
}

/// A request whose endpoint ends meanwhile is not left without an answer, and the next is refused at once.
pub(crate) fn an_endpoint_dies_with_a_request(cluster: &Cluster) {
    let third: SocketAddr = service(cluster, "third", "wasm-node-3").parse().unwrap();
    let (answer, took) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| timed(|| http::get(third, "/sleep/9000")));
        wait::until("an answer beside it", || http::get(third, "/").map_err(|error| error.to_string()));
        cluster.kubectl(&["delete", "pod", "wasm-node-3", "--grace-period=1"]);
        asked.join().unwrap()
    });
    assert!(answer.is_err() && took < Duration::from_secs(8), "{answer:?} after {took:?}");
    let (refused, took) = timed(|| http::get(third, "/"));
    assert!(refused.is_err() && took < Duration::from_secs(1), "{refused:?} after {took:?}");
}

#[expect(clippy::disallowed_methods, reason = "what a client waits for is measured by the real clock")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = std::time::Instant::now();
    (work(), began.elapsed())
}
