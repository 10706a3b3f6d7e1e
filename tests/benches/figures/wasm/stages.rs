//! Where the time between the creation of a Pod and its first answer goes: when somebody who watches is told of each step.
//!
//! Whoever watches takes time from the others, so what `start` measures is less than what this does. `WHERRY_PODS` says how many Pods.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use wherry_tests::{Cluster, Registry};

use super::start::first_answer;
use super::{Driver, SERVICES, ms, names, pod, roomy, service, serving, within};
use crate::api_load::{PODS, is_ready};
use crate::{clock, count, figure};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A step, with the collection that shows it, and whether an event of that does.
type Step = (&'static str, &'static str, fn(&Value) -> bool);

const STEPS: [Step; 4] = [
    ("seen", PODS, |_| true),
    ("bound", PODS, |event| event["object"]["spec"]["nodeName"].is_string()),
    ("ready", PODS, is_ready),
    ("served", SLICES, |event| event["object"]["endpoints"][0]["conditions"]["ready"] == true),
];

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let many = count("WHERRY_PODS", 300);
    let cluster = roomy(dir, many + 10);
    let names = names("start", many + 1);
    let services: Vec<_> = names.iter().map(|name| service(name)).collect();
    let mut driver = Driver::new(&cluster);
    driver.runtime.block_on(driver.client.create(SERVICES, &services));
    let addresses = driver.services();
    let (mut begun, mut answered) = (HashMap::new(), Vec::new());
    let told = thread::scope(|scope| {
        let watching = STEPS.map(|step| {
            let (cluster, names) = (&cluster, &names);
            scope.spawn(move || watch(cluster, step, names.len()))
        });
        for name in &names {
            begun.insert(name.clone(), clock());
            answered.push(first_answer(
                &mut driver,
                &pod(name, &serving("hello-wasm")).to_string(),
                addresses[name],
            ));
        }
        watching.map(|watching| watching.join().unwrap())
    });
    for ((step, ..), told) in STEPS.iter().zip(&told) {
        let times: Vec<_> =
            names[1..].iter().map(|name| ms(told[name].duration_since(begun[name]))).collect();
        figure(&format!("wasm_start_{step}_p50"), within(&times, 500), "ms");
    }
    figure("wasm_start_answered_p50", within(&answered[1..], 500), "ms");
}

/// When each of so many Pods, by their names, is told to have reached a step.
fn watch(cluster: &Cluster, (_, collection, shows): Step, count: usize) -> HashMap<String, Instant> {
    let mut driver = Driver::new(cluster);
    let mut watched = driver.watch(collection);
    let mut told = HashMap::new();
    while told.len() < count {
        let event = driver.runtime.block_on(watched.next());
        let metadata = &event["object"]["metadata"];
        let service = metadata["labels"]["kubernetes.io/service-name"].as_str();
        let name = service.or_else(|| metadata["name"].as_str()).unwrap();
        if shows(&event) {
            told.entry(name.to_owned()).or_insert_with(clock);
        }
    }
    told
}
