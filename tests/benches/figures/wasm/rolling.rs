//! A Deployment whose component is replaced again and again while requests come through its Service, then rolled back.
//!
//! `WHERRY_REPLACEMENTS` says how often, `WHERRY_RATE` how many requests come a second.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use wherry_tests::{Registry, http, wait};

use super::{Driver, SERVICES, ms, roomy, service, serving, within};
use crate::load::{Load, paced};
use crate::{clock, count, figure, float, remark};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const CONNECTIONS: usize = 16;
/// So often it is rolled back.
const ROLLBACKS: usize = 20;
/// So many answers in a row are of the component that was rolled back to.
const SETTLED: usize = 20;
/// The components that take turns, and how the answers of each begin.
const COMPONENTS: [(&str, &str); 2] = [("hello-wasm", "Hello from wasm"), ("http", "hello")];

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = roomy(dir, 50);
    let mut driver = Driver::new(&cluster);
    driver.create(SERVICES, service("rolling"));
    driver.create(DEPLOYMENTS, deployment());
    let address = driver.service("rolling");
    wait::until("an answer", || http::get(address, "/").map_err(|error| error.to_string()));
    // Both components are compiled before anything counts.
    replace(&mut driver, 1);
    replace(&mut driver, 0);
    under_load(&mut driver, address);
    let times: Vec<_> = (1..=ROLLBACKS).map(|turn| rolled_back(&mut driver, address, turn % 2)).collect();
    figure("wasm_rollback_p50", within(&times, 500), "ms");
}

fn template(component: usize) -> Value {
    json!({
        "metadata": { "labels": { "app": "rolling" } },
        "spec": { "terminationGracePeriodSeconds": 10, "containers": [serving(COMPONENTS[component].0)] },
    })
}

fn deployment() -> String {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "rolling" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "rolling" } }, "template": template(0),
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
        },
    })
    .to_string()
}

fn under_load(driver: &mut Driver, address: SocketAddr) {
    let (replacements, rate) = (count("WHERRY_REPLACEMENTS", 1000), count("WHERRY_RATE", 1000));
    let stop = AtomicBool::new(false);
    let start = clock();
    let load: Load = std::thread::scope(|scope| {
        let load = scope.spawn(|| paced(address, CONNECTIONS, rate, &stop));
        for turn in 1..=replacements {
            replace(driver, turn % 2);
        }
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    figure("wasm_replacement", ms(start.elapsed()) / float(replacements), "ms");
    figure("wasm_replaced_requests_failed", float(load.failed.len()), "requests");
    figure("wasm_replaced_requests_answered", float(load.answered()), "requests");
    figure("wasm_replaced_rate", load.rate(), "requests/s");
    figure("wasm_replaced_p99", load.within(990), "ms");
    for failure in load.failed.iter().take(5) {
        remark(failure);
    }
}

/// Another component, and until the Deployment says that its Pods are all of it.
fn replace(driver: &mut Driver, component: usize) {
    let mut watched = driver.watch(DEPLOYMENTS);
    roll(driver, component);
    driver.runtime.block_on(watched.until(1, is_complete));
}

fn roll(driver: &mut Driver, component: usize) {
    driver.patch(&format!("{DEPLOYMENTS}/rolling"), &json!({ "spec": { "template": template(component) } }));
}

fn is_complete(event: &Value) -> bool {
    let (object, status) = (&event["object"], &event["object"]["status"]);
    status["observedGeneration"] == object["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| status[field] == 1)
}

/// Milliseconds from the change until only the other component answers.
fn rolled_back(driver: &mut Driver, address: SocketAddr, component: usize) -> f64 {
    let mut watched = driver.watch(DEPLOYMENTS);
    let start = clock();
    roll(driver, component);
    let (mut settled, mut since) = (0, start);
    while settled < SETTLED {
        let answer = http::get(address, "/").unwrap();
        if !answer.body.starts_with(COMPONENTS[component].1) {
            settled = 0;
            continue;
        }
        if settled == 0 {
            since = clock();
        }
        settled += 1;
    }
    driver.runtime.block_on(watched.until(1, is_complete));
    ms(since - start)
}
