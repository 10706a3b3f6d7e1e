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

/// One of so many Pods more is made with `enableServiceLinks: false`.
const UNLINKED: usize = 5;
/// Between two looks whether there is an answer.
const PAUSE: Duration = Duration::from_micros(200);
pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let many = count("WHERRY_PODS", 1000);
    let mut cluster = roomy(dir, many + many / UNLINKED + 10);
    one_after_the_other(&mut Driver::new(&cluster), many);
    at_once(&mut Driver::new(&cluster), many);
    large(&mut cluster);
}

/// Each Pod has a Service of its own, and stays. The first has to fetch its image; the last are not told of Services.
fn one_after_the_other(driver: &mut Driver, many: usize) {
    starts(driver, &names("first", 1), true);
    for (figure_name, pods, links) in [("start", many, true), ("start_unlinked", many / UNLINKED, false)] {
        let times = starts(driver, &names(&figure_name.replace('_', "-"), pods), links);
        figure(&format!("wasm_{figure_name}_p50"), within(&times, 500), "ms");
        figure(&format!("wasm_{figure_name}_p99"), within(&times, 990), "ms");
    }
}

/// The times of Pods of these names until they answer.
fn starts(driver: &mut Driver, names: &[String], links: bool) -> Vec<f64> {
    let services: Vec<_> = names.iter().map(|name| service(name)).collect();
    driver.runtime.block_on(driver.client.create(SERVICES, &services));
    let addresses = driver.services();
    let mut start = |name: &String| {
        let mut pod = pod(name, &serving("hello-wasm"));
        pod["spec"]["enableServiceLinks"] = links.into();
        first_answer(driver, &pod.to_string(), addresses[name])
    };
    names.iter().map(&mut start).collect()
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
