//! From the creation of Pods to their answers: one after the other, many at once, and of a component in JavaScript.
//!
//! `WHERRY_PODS` says how many Pods.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wherry_tests::{Cluster, Registry, build_dir, http, wherry_binary};

use super::{Driver, SERVICES, ms, names, pod, roomy, service, serving, within};
use crate::api_load::is_ready;
use crate::{clock, count, figure, idle_for};

/// Between two looks whether there is an answer.
const PAUSE: Duration = Duration::from_micros(200);
pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let many = count("WHERRY_PODS", 1000);
    let mut cluster = roomy(dir, many + 10);
    one_after_the_other(&mut Driver::new(&cluster), many);
    at_once(&mut Driver::new(&cluster), many);
    large(&mut cluster);
}

/// Each Pod has a Service of its own, and stays.
fn one_after_the_other(driver: &mut Driver, many: usize) {
    let names = names("start", many + 1);
    let services: Vec<_> = names.iter().map(|name| service(name)).collect();
    driver.runtime.block_on(driver.client.create(SERVICES, &services));
    let mut times = Vec::new();
    let addresses = driver.services();
    for name in &names {
        let address = addresses[name];
        times.push(first_answer(driver, &pod(name, &serving("hello-wasm")).to_string(), address));
    }
    // The first has to fetch its image.
    figure("wasm_start_p50", within(&times[1..], 500), "ms");
    figure("wasm_start_p99", within(&times[1..], 990), "ms");
}

/// Milliseconds from the POST of a Pod to the first answer of its Service.
pub(super) fn first_answer(driver: &mut Driver, pod: &str, service: SocketAddr) -> f64 {
    let start = clock();
    driver.create(super::PODS, pod.to_owned());
    while !http::get(service, "/").is_ok_and(|answer| answer.status == 200) {
        idle_for(PAUSE);
    }
    ms(start.elapsed())
}

fn at_once(driver: &mut Driver, many: usize) {
    driver.delete_pods();
    let pods: Vec<_> =
        names("start", many).iter().map(|name| pod(name, &serving("hello-wasm")).to_string()).collect();
    figure(&format!("wasm_ready_{many}"), driver.pods(&pods, is_ready).as_secs_f64(), "s");
    driver.delete_pods();
}

/// The first start compiles; the second is that of an agent which finds compiled code.
fn large(cluster: &mut Cluster) {
    let file = build_dir().join("guests/languages/server-javascript.wasm");
    let push = Command::new(wherry_binary()).arg("push").arg(&file).arg("127.0.0.1:5000/large:v1").status();
    assert!(push.unwrap().success(), "wherry push");
    let pod = pod("large", &serving("large")).to_string();
    let mut driver = Driver::new(cluster);
    driver.create(SERVICES, service("large"));
    let address = driver.service("large");
    figure("wasm_large_first_start", first_answer(&mut driver, &pod, address), "ms");
    // Compiling may have taken longer than the server keeps a connection that says nothing.
    drop(driver);
    cluster.kubectl(&["delete", "pod", "large", "--wait"]);
    cluster.kill();
    cluster.launch();
    let mut driver = Driver::new(cluster);
    figure("wasm_large_second_start", first_answer(&mut driver, &pod, address), "ms");
}
