//! The figures of `docs/benchmarks.md` that need a whole cluster.
//!
//! ```text
//! cargo build --release -p wherry && cargo bench -p wherry-tests --bench figures [-- NAME...]
//! ```
//! Each line reads `figure: name = value unit[, baseline ...]`; names select what runs: ready, rss, pods,
//! killed, http, api, node, ingress. After `wasm` names are those of the wasm runtime's: http, start, density, isolation, rolling; after
//! `network` those of the Pods' network: services, dns, calls, changes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

mod api_load;
mod in_process;
mod ingress;
mod load;
mod network;
mod node;
mod wasm;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wherry_tests::{Cluster, Options, Registry, http, isolated_on_disk, wait, workspace};

const RUNS: usize = 5;

/// Measures in a directory of its own, within a network namespace of its own.
type Bench = fn(&Path);

const BENCHES: [(&str, Bench); 8] = [
    ("ready", ready),
    ("rss", idle_rss),
    ("pods", pods),
    ("killed", killed),
    ("http", http_rates),
    ("api", api_rates),
    ("node", node::figures),
    ("ingress", ingress::figures),
];

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match names.split_first() {
        None => {
            run(&BENCHES, &[]);
            run(&wasm::BENCHES, &[]);
            run(&network::BENCHES, &[]);
        }
        Some((first, parts)) if first == "wasm" => run(&wasm::BENCHES, parts),
        Some((first, parts)) if first == "network" => run(&network::BENCHES, parts),
        Some(_) => run(&BENCHES, &names),
    }
}

/// Runs those that are named, or all.
fn run(benches: &[(&str, Bench)], names: &[String]) {
    for name in names {
        assert!(benches.iter().any(|(known, _)| known == name), "there is no benchmark {name:?}");
    }
    for (name, bench) in benches {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            isolated_on_disk(|| {
                let dir = tempfile::tempdir().unwrap();
                bench(dir.path());
            });
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures by the real clock")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "idle memory is defined as that after a minute")]
fn idle_for(time: Duration) {
    std::thread::sleep(time);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What kube-apiserver, etcd, controller-manager and scheduler 1.36 did on such a machine (the controllers, the
/// scheduler and no kubelet): recorded once, not measured in this run.
const REFERENCE: [(&str, &str); 5] = [
    ("up_ready_cold", "2200 ms"),
    ("idle_rss", "480 MiB"),
    ("api_create", "2628 requests/s"),
    ("api_get", "5677 requests/s"),
    ("api_list_2000", "102 requests/s"),
];

fn figure(name: &str, value: f64, unit: &str) {
    let baseline = REFERENCE.iter().find(|(of, _)| *of == name);
    let baseline = baseline.map_or(String::new(), |(_, value)| format!(", baseline {value} (recorded)"));
    println!("figure: {name} = {value:.2} {unit}{baseline}");
}

/// A figure beside what somebody else did in the same run.
fn figure_beside(name: &str, value: f64, unit: &str, (baseline, whose): (f64, &str)) {
    println!("figure: {name} = {value:.2} {unit}, baseline {baseline:.2} {unit} ({whose})");
}

fn remark(text: &str) {
    println!("figures: {text}");
}

/// How many there are of what a variable of the environment may say, for a quick look.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// What processes have taken of the processors, in ticks.
fn processor_ticks(processes: &[u32]) -> f64 {
    let of = |process: &u32| -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
    };
    processes.iter().map(of).sum()
}

fn ready_ms(cluster: &Cluster) -> f64 {
    cluster.ready_line().split(' ').nth(2).unwrap().parse().unwrap()
}

/// `wherry up` to its ready line: with an empty data directory, and with one that is there.
fn ready(dir: &Path) {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let dir = dir.join(run.to_string());
        std::fs::create_dir(&dir).unwrap();
        let mut cluster = Cluster::start(&dir, Options::default());
        cold.push(ready_ms(&cluster));
        cluster.terminate();
        cluster.launch();
        warm.push(ready_ms(&cluster));
    }
    figure("up_ready_cold", median(cold), "ms");
    figure("up_ready_warm", median(warm), "ms");
}

fn rss_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Resident memory of the one process, a minute after it got ready, with nothing deployed.
fn idle_rss(dir: &Path) {
    let cluster = Cluster::start(dir, Options::default());
    idle_for(Duration::from_mins(1));
    figure("idle_rss", rss_mib(cluster.pid()), "MiB");
}

fn pod(name: &str, image: &str) -> String {
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{{\
         \"terminationGracePeriodSeconds\":1,\"containers\":[{{\"name\":\"main\",\"image\":\"127.0.0.1:5000/{image}\",\
         \"ports\":[{{\"containerPort\":8080}}]}}]}}}}"
    )
}

/// POST of a Pod to the watch event that says it is Ready, with the image in the node's cache.
fn pods(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, image) in [("pod_ready_wasm", "hello-wasm:v1"), ("pod_ready_oci", "hello-oci:v1")] {
        let mut times = Vec::new();
        // The first Pod fills the cache and is not counted.
        for run in 0..=RUNS {
            let pod_name = format!("bench-{run}");
            let body = pod(&pod_name, image);
            let took = runtime.block_on(api_load::create_until_ready(&cluster.kubeconfig(), &body));
            if run > 0 {
                times.push(took.as_secs_f64() * 1000.0);
            }
            cluster.kubectl(&["delete", "pod", &pod_name, "--grace-period=0", "--force", "--wait"]);
        }
        figure(name, median(times), "ms");
    }
}

/// Requests a second by wrk with 32 connections on one thread.
fn wrk(address: SocketAddr) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "-d5s", &format!("http://{address}/")])
        .output()
        .expect("wrk is installed: apt-get install wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|l| l.trim_start().starts_with("Requests/sec:"));
    line.unwrap_or_else(|| panic!("wrk: {text}")).split_whitespace().last().unwrap().parse().unwrap()
}

/// Deploys hello-wasm; the address of its Service.
fn deploy_hello(cluster: &Cluster) -> String {
    let manifest = std::fs::read_to_string(workspace().join("examples/hello-wasm/hello-wasm.yaml")).unwrap();
    cluster.apply(&manifest);
    cluster.kubectl(&["rollout", "status", "deployment/hello-wasm", "--timeout=90s"]);
    cluster.kubectl(&["get", "service", "hello-wasm", "-o", "jsonpath={.spec.clusterIP}"])
}

/// From the start of the process, after the one before was killed, to an answer of a wasm Pod it had.
fn killed(dir: &Path) {
    let _registry = Registry::start(dir);
    let mut cluster = Cluster::start(dir, Options::default());
    let address: SocketAddr = format!("{}:80", deploy_hello(&cluster)).parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        cluster.kill();
        let start = clock();
        cluster.launch();
        wait::until("an answer", || http::get(address, "/").map_err(|e| e.to_string()));
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    figure("wasm_after_kill", median(times), "ms");
}

/// hello-wasm through its Service and straight at one Pod.
fn http_rates(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let service = deploy_hello(&cluster);
    let pod =
        cluster.kubectl(&["get", "pods", "-l", "app=hello-wasm", "-o", "jsonpath={.items[0].status.podIP}"]);
    for (name, address) in [("http_service", format!("{service}:80")), ("http_pod", format!("{pod}:8080"))] {
        let address: SocketAddr = address.parse().unwrap();
        wait::until("an answer", || http::get(address, "/").map_err(|e| e.to_string()));
        wrk(address);
        figure(name, median((0..RUNS).map(|_| wrk(address)).collect()), "requests/s");
    }
}

/// GET, LIST of 2,000 and CREATE of ConfigMaps by 32 clients over TLS.
fn api_rates(dir: &Path) {
    let cluster = Cluster::start(dir, Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let create = api_load::create_config_maps(&cluster.kubeconfig(), 20_000).await;
        figure("api_create", create, "requests/s");
        let get = api_load::get_config_map(&cluster.kubeconfig(), 50_000).await;
        figure("api_get", get, "requests/s");
        let list = api_load::list_config_maps(&cluster.kubeconfig(), 1_000).await;
        figure("api_list_2000", list, "requests/s");
    });
}
