//! From the creation of Pods to their answers: one after the other, many at once, and of a component as large as JavaScript's.
//!
//! `WHERRY_PODS` says how many Pods.

use std::fs;
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
/// The size of a component that `componentize-js` makes, and how much of it is code.
const LARGE: usize = 13 << 20;
const CODE: usize = 8 << 20;

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let many = count("WHERRY_PODS", 1000);
    let mut cluster = roomy(dir, many + 10);
    one_after_the_other(&mut Driver::new(&cluster), many);
    at_once(&mut Driver::new(&cluster), many);
    large(&mut cluster, dir);
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
fn first_answer(driver: &mut Driver, pod: &str, service: SocketAddr) -> f64 {
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
fn large(cluster: &mut Cluster, dir: &Path) {
    let file = dir.join("large.wasm");
    fs::write(&file, enlarged(fs::read(build_dir().join("guests/hello-wasm.wasm")).unwrap())).unwrap();
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

/// The component with a module of generated functions more, which nothing calls.
fn enlarged(mut component: Vec<u8>) -> Vec<u8> {
    let functions = CODE / function(0).len();
    let mut code = number(functions);
    (0..functions).for_each(|seed| code.extend(function(seed)));
    let mut types = number(functions);
    types.extend(std::iter::repeat_n(0, functions));
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, b"\x01\x60\x01\x7f\x01\x7f"));
    module.extend(section(3, &types));
    module.extend(section(10, &code));
    component.extend(section(1, &module));
    let mut rest = b"\x01x".to_vec();
    rest.resize(LARGE - component.len(), 0);
    component.extend(section(0, &rest));
    component
}

/// A function of an i32 with loops and branches.
fn function(seed: usize) -> Vec<u8> {
    const BLOCKS: usize = 16;
    let mut body = vec![0];
    for block in 0..BLOCKS {
        // loop: x = (x * 5 + seed) ^ block; again if x is below the seed
        body.extend([0x03, 0x40, 0x20, 0, 0x41, 5, 0x6c, 0x41]);
        body.extend(constant(seed));
        body.extend([0x6a, 0x41]);
        body.extend(constant(block));
        body.extend([0x73, 0x22, 0, 0x41]);
        body.extend(constant(seed));
        body.extend([0x49, 0x0d, 0, 0x0b]);
    }
    body.extend([0x20, 0, 0x0b]);
    let mut sized = number(body.len());
    sized.extend(body);
    sized
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    section.extend(number(content.len()));
    section.extend(content);
    section
}

/// As LEB128, of five bytes so that all are as long.
fn number(value: usize) -> Vec<u8> {
    let bits = |place: usize| u8::try_from(value >> (7 * place) & 0x7f).unwrap();
    vec![bits(0) | 0x80, bits(1) | 0x80, bits(2) | 0x80, bits(3) | 0x80, bits(4)]
}

/// The same of a number that has a sign.
fn constant(value: usize) -> Vec<u8> {
    number(value)
}
