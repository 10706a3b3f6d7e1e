//! How late a server answers beside one that spins, allocates, opens sockets, writes logs or traps without end.
//!
//! `WHERRY_SECONDS` says for how long it is asked beside each.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use wherry_tests::{Cluster, Registry};

use super::{Driver, PODS, pod, roomy, serving};
use crate::api_load::is_ready;
use crate::load::{Load, paced};
use crate::{count, figure, figure_beside, idle_for};

/// Requests a second, over how many connections.
const RATE: usize = 200;
const CONNECTIONS: usize = 8;
/// What each offender does, without end or until it is started again.
const OFFENDERS: [(&str, &[&str]); 5] = [
    ("spin", &["spin"]),
    ("alloc", &["alloc", "1000"]),
    ("sockets", &["sockets"]),
    ("flood", &["flood"]),
    ("trap", &["panic"]),
];

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = roomy(dir, 20);
    let mut driver = Driver::new(&cluster);
    driver.pods(&[pod("victim", &serving("hello-wasm")).to_string()], is_ready);
    let victim = driver.pod("victim");
    asked(victim);
    for (name, arguments) in OFFENDERS {
        let alone = asked(victim).within(990);
        driver.create(PODS, offender(name, arguments));
        until_it_ran(&cluster, name);
        let beside = asked(victim).within(990);
        cluster.kubectl(&["delete", "pod", name, "--grace-period=0", "--force", "--wait"]);
        figure_beside(&format!("wasm_victim_p99_{name}"), beside, "ms", (alone, "undisturbed, just before"));
        figure(&format!("wasm_victim_p99_{name}_to_undisturbed"), beside / alone, "times");
    }
}

fn offender(name: &str, arguments: &[&str]) -> String {
    let container = json!({
        "name": "main", "image": "127.0.0.1:5000/cli-p2:v1", "args": arguments,
        "resources": { "limits": { "memory": "64Mi" } },
    });
    pod(name, &container).to_string()
}

/// It runs, or ran and is started again.
fn until_it_ran(cluster: &Cluster, name: &str) {
    let state = "jsonpath={.status.containerStatuses[0].containerID}";
    cluster.kubectl_until(&["get", "pod", name, "-o", state], |id| !id.is_empty());
}

fn asked(victim: SocketAddr) -> Load {
    let stop = AtomicBool::new(false);
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| paced(victim, CONNECTIONS, RATE, &stop));
        idle_for(Duration::from_secs(count("WHERRY_SECONDS", 10) as u64));
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    assert!(load.failed.is_empty(), "{:?}", load.failed);
    load
}
