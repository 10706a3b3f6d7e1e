//! The figures of `docs/benchmarks.md` about controllers and scheduler, on a control plane in this process whose nodes are only
//! registered.
//!
//! ```text
//! cargo bench -p wherry-orchestrator --bench controllers [-- NAME...]
//! ```
//! Each line reads `figure: name = value unit[, baseline ...]`; names select what runs: large, many, steady, caches.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../../../cli/src/allocator.rs"]
mod allocator;
mod plane;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use plane::{Nodes, Plane};

const RUNS: usize = 5;
/// Deployments, and Pods of each, of the large cluster.
const DEPLOYMENTS: usize = 1_000;
const REPLICAS: usize = 10;
/// How long a cluster where nothing happens is looked at.
const STEADY: Duration = Duration::from_secs(20);
/// The argument by which a process of this program measures its own memory.
const CHILD: &str = "--memory-of";

/// What kube-apiserver, etcd, controller-manager and scheduler 1.36 did on two such cores, with client limits raised: recorded
/// once, not measured in this run.
const REFERENCE: [(&str, &str); 2] = [
    ("deployment_1000_pods_exist", "1900 ms; 49500 ms with its defaults"),
    ("deployment_1000_pods_bound", "2500 ms"),
];

type Bench = fn(&Path);

fn main() {
    allocator::give_back_while_idle();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, kind, directory] = &arguments[..]
        && what == CHILD
    {
        return run(measure_memory(Path::new(directory), kind == "controllers"));
    }
    let names: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let benches: [(&str, Bench); 4] =
        [("large", large), ("many", many), ("steady", steady), ("caches", caches)];
    for (name, bench) in benches {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            bench(tempfile::tempdir().unwrap().path());
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures by the real clock")]
fn clock() -> Instant {
    Instant::now()
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figure(name: &str, value: f64, unit: &str) {
    let baseline = REFERENCE.iter().find(|(of, _)| *of == name);
    let baseline = baseline.map_or(String::new(), |(_, value)| format!(", baseline {value} (recorded)"));
    println!("figure: {name} = {value:.2} {unit}{baseline}");
}

/// One Deployment of 1,000 replicas, from its POST until all Pods exist and until all have nodes.
fn large(directory: &Path) {
    let (mut exist, mut bound) = (Vec::new(), Vec::new());
    run(async {
        for number in 0..RUNS {
            let directory = directory.join(number.to_string());
            std::fs::create_dir(&directory).unwrap();
            let plane = Plane::start(&directory).await;
            let _nodes = Nodes::register(&plane, 10, 200).await;
            let mut pods = plane.watch_pods().await;
            let began = clock();
            plane.create_deployment("web", 1_000, "default-scheduler").await;
            pods.until_exist(1_000).await;
            exist.push(millis(began));
            pods.until_bound(1_000).await;
            bound.push(millis(began));
            plane.stop().await;
        }
    });
    figure("deployment_1000_pods_exist", median(exist), "ms");
    figure("deployment_1000_pods_bound", median(bound), "ms");
}

/// 1,000 Deployments of 10 replicas: what is written until all Pods exist, and how long it takes until all have nodes.
fn many(directory: &Path) {
    run(async {
        let dirs = ["unscheduled", "scheduled"].map(|name| directory.join(name));
        for directory in &dirs {
            std::fs::create_dir(directory).unwrap();
        }
        let plane = Plane::start(&dirs[0]).await;
        let before = plane.quiet_revision().await;
        let mut pods = plane.watch_pods().await;
        let began = clock();
        plane.create_deployments(DEPLOYMENTS, REPLICAS, "nobody").await;
        pods.until_exist(DEPLOYMENTS * REPLICAS).await;
        figure("deployments_1000x10_exist", millis(began) / 1000.0, "s");
        let written = plane.quiet_revision().await - before;
        let count = u32::try_from(DEPLOYMENTS * REPLICAS).unwrap();
        let written = u32::try_from(written).unwrap();
        figure("deployments_1000x10_writes_per_pod", f64::from(written) / f64::from(count), "writes");
        plane.stop().await;

        let plane = Plane::start(&dirs[1]).await;
        let _nodes = Nodes::register(&plane, 20, 1_000).await;
        let mut pods = plane.watch_pods().await;
        let began = clock();
        plane.create_deployments(DEPLOYMENTS, REPLICAS, "default-scheduler").await;
        pods.until_bound(DEPLOYMENTS * REPLICAS).await;
        figure("deployments_1000x10_bound", millis(began) / 1000.0, "s");
        plane.stop().await;
    });
}

/// A cluster of 10,000 Pods on 20 nodes, in which all is done.
async fn full(directory: &Path) -> (Plane, Nodes) {
    let plane = Plane::start(directory).await;
    let nodes = Nodes::register(&plane, 20, 1_000).await;
    let mut pods = plane.watch_pods().await;
    plane.create_deployments(DEPLOYMENTS, REPLICAS, "default-scheduler").await;
    pods.until_bound(DEPLOYMENTS * REPLICAS).await;
    plane.quiet_revision().await;
    (plane, nodes)
}

/// What the processor does for 10,000 Pods to which nothing happens, but that their nodes renew their Leases.
fn steady(directory: &Path) {
    run(async {
        let (plane, _nodes) = full(directory).await;
        let before = processor_time();
        tokio::time::sleep(STEADY).await;
        let share = processor_time().abs_diff(before).as_secs_f64() / STEADY.as_secs_f64();
        figure("steady_10000_pods", share * 100.0, "% of a core");
        plane.stop().await;
    });
}

/// What the shared caches add to a server with 10,000 Pods.
fn caches(directory: &Path) {
    run(async {
        let (plane, _nodes) = full(directory).await;
        plane.stop().await;
    });
    let memory = |kind: &str| -> f64 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args([CHILD, kind]).arg(directory).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    let (alone, all) = (memory("api"), memory("controllers"));
    figure("memory_10000_pods_api_alone", alone, "MiB");
    figure("memory_10000_pods_controllers_and_scheduler_add", all - alone, "MiB");
}

/// Prints the memory of this process once it has taken over what is in a directory.
async fn measure_memory(directory: &Path, with_loops: bool) {
    let plane = if with_loops { Plane::start(directory).await } else { Plane::start_api(directory).await };
    plane.quiet_revision().await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{}", kib / 1024.0);
    plane.stop().await;
}

/// What this process has had of the processor.
fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap()
}
