//! hello-wasm at 1, 32 and 256 connections: through the Pod's address and its Service, with instances that are used again, beside
//! servers that do the same outside of a cluster, in the same run.
//!
//! The plain server is `wasm-runtime/examples/plain_server.rs`. `WHERRY_RUNS` and `WHERRY_SECONDS` say how often and how long
//! each is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use wherry_tests::{Registry, build_dir, http, wait, wherry_binary};

use super::{Driver, SERVICES, pod, roomy, service, serving};
use crate::api_load::is_ready;
use crate::load::{Load, closed};
use crate::{count, figure, figure_beside, median, remark};

const CONNECTIONS: [usize; 3] = [1, 32, 256];
/// How many of the servers are ours.
const OURS: usize = 3;
const PLAIN: &str = "127.0.0.1:8090";
const WASMTIME: &str = "127.0.0.1:8091";

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = roomy(dir, 10);
    let mut driver = Driver::new(&cluster);
    driver.create(SERVICES, service("hello"));
    let fresh = pod("hello", &serving("hello-wasm"));
    let mut reused = pod("reused", &serving("hello-wasm"));
    reused["metadata"]["annotations"] = json!({ "run.wherry.dev/instance-reuse": "1000000" });
    driver.pods(&[fresh.to_string(), reused.to_string()], is_ready);
    let servers = [Server::plain(), Server::wasmtime()];
    let mut targets = vec![
        ("wasm_http_pod", driver.pod("hello")),
        ("wasm_http_service", driver.service("hello")),
        ("wasm_http_reused", driver.pod("reused")),
    ];
    targets.extend(servers.iter().flatten().map(|server| (server.name, server.address)));
    for (name, address) in &targets {
        wait::until(name, || http::get(*address, "/").map_err(|error| error.to_string()));
    }
    for connections in CONNECTIONS {
        compare(&targets, connections);
    }
}

/// Asks all in turns, so that what disturbs the machine disturbs all alike.
fn compare(targets: &[(&str, SocketAddr)], connections: usize) {
    let time = Duration::from_secs(count("WHERRY_SECONDS", 3) as u64);
    let mut loads: Vec<Vec<Load>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..count("WHERRY_RUNS", 5) {
        for ((name, address), loads) in targets.iter().zip(&mut loads) {
            let load = closed(*address, connections, time);
            assert!(load.failed.is_empty(), "{name}: {:?}", load.failed);
            loads.push(load);
        }
    }
    let values = |of: fn(&Load) -> f64| -> Vec<f64> {
        loads.iter().map(|loads| median(loads.iter().map(of).collect())).collect()
    };
    let (rates, slow) = (values(Load::rate), values(|load| load.within(990)));
    for (index, (name, _)) in targets.iter().enumerate() {
        // The servers beside ours come last, and the last of them is the one to compare with.
        let beside = (index < OURS && targets.len() > OURS).then(|| targets.len() - 1);
        for (what, unit, values) in [("rate", "requests/s", &rates), ("p99", "ms", &slow)] {
            let name = format!("{name}_{connections}_{what}");
            match beside {
                Some(other) => figure_beside(&name, values[index], unit, (values[other], targets[other].0)),
                None => figure(&name, values[index], unit),
            }
        }
    }
    figure(&format!("wasm_http_service_to_pod_{connections}"), 100.0 * rates[1] / rates[0], "%");
    figure(&format!("wasm_http_reused_to_fresh_{connections}"), rates[2] / rates[0], "times");
}

/// A server outside of the cluster; ended when dropped.
struct Server {
    name: &'static str,
    address: SocketAddr,
    process: Child,
}

impl Server {
    fn start(name: &'static str, address: &str, command: &mut Command) -> Self {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { name, address: address.parse().unwrap(), process }
    }

    /// hyper and `wasmtime_wasi_http` as they come, if it was built.
    fn plain() -> Option<Self> {
        let program = wherry_binary().with_file_name("examples").join("plain_server");
        if !program.exists() {
            remark(
                "the plain server is missing, nothing is claimed beside it: cargo build --release -p wherry-wasm-runtime --example plain_server",
            );
            return None;
        }
        let mut command = Command::new(program);
        command.arg(build_dir().join("guests/hello-wasm.wasm")).arg(PLAIN);
        Some(Self::start("plain_server", PLAIN, &mut command))
    }

    /// `wasmtime serve`, if it is installed.
    fn wasmtime() -> Option<Self> {
        let version = Command::new("wasmtime").arg("--version").output();
        let Ok(version) = version else {
            remark("wasmtime is not installed, nothing is claimed beside `wasmtime serve`");
            return None;
        };
        remark(&format!("beside {}", String::from_utf8_lossy(&version.stdout).trim()));
        let mut command = Command::new("wasmtime");
        command.args(["serve", "-Scli", "--addr", WASMTIME]).arg(build_dir().join("guests/hello-wasm.wasm"));
        Some(Self::start("wasmtime_serve", WASMTIME, &mut command))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that ended by itself was not asked to the end, which has failed by then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
