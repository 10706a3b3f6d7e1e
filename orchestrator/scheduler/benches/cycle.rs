//! What a decision costs, in process: `cargo bench -p wherry-scheduler --bench cycle`.
//!
//! Each workload is measured on clusters of 100, 1,000, 5,000 and 20,000 nodes that hold one Pod each before. A cycle is
//! the decision and the count of the Pod on its node. Prints `figure: name = value unit`.

use std::io::Write;

use tokio::time::Instant;
use wherry_scheduler::rehearsal::{Rehearsal, Workload};

const SIZES: [usize; 4] = [100, 1_000, 5_000, 20_000];
const WORKLOADS: [(&str, Workload); 6] = [
    ("basic", Workload::Basic),
    ("pod_affinity", Workload::PodAffinity),
    ("pod_anti_affinity", Workload::PodAntiAffinity),
    ("preferred_pod_affinity", Workload::PreferredPodAffinity),
    ("topology_spread", Workload::TopologySpread),
    ("unschedulable", Workload::Unschedulable),
];
/// How many Pods are decided on, at most.
const PODS: usize = 2_000;

fn figure(name: &str, value: f64, unit: &str) {
    writeln!(std::io::stdout(), "figure: {name} = {value:.1} {unit}").expect("stdout takes it");
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}

fn cycles(name: &str, workload: Workload, nodes: usize) {
    let mut rehearsal = Rehearsal::new(nodes);
    for _ in 0..nodes {
        rehearsal.add_placed();
    }
    // With anti-affinity there is room for one Pod a node.
    let pods: Vec<_> = (0..PODS.min(nodes * 9 / 10)).map(|_| rehearsal.next(workload)).collect();
    let mut times = Vec::with_capacity(pods.len());
    let begin = Instant::now();
    for pod in &pods {
        let start = Instant::now();
        let placed = rehearsal.decide(pod);
        times.push(start.elapsed());
        assert_eq!(placed, workload != Workload::Unschedulable, "{name} on {nodes} nodes");
    }
    let all = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    for (part, percent) in [("p50", 50), ("p99", 99)] {
        let time = times[times.len() * percent / 100];
        figure(&format!("cycle_{name}_{nodes}_{part}"), time.as_secs_f64() * 1e6, "us");
    }
    figure(&format!("cycle_{name}_{nodes}_rate"), float(pods.len()) / all, "pods/s");
}

/// The resident memory of this process in KiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number of KiB")
}

fn memory() {
    let nodes = 20_000;
    let before = resident();
    let mut rehearsal = Rehearsal::new(nodes);
    let with_nodes = resident();
    for _ in 0..100_000 {
        rehearsal.add_placed();
    }
    let with_pods = resident();
    figure("scheduler_memory_1000_nodes", (with_nodes - before) / 20.0, "KiB");
    figure("scheduler_memory_10000_pods", (with_pods - with_nodes) / 10.0, "KiB");
    let pod = rehearsal.next(Workload::TopologySpread);
    assert!(rehearsal.decide(&pod), "there is room");
    figure("scheduler_memory_1000_nodes_template", (resident() - with_pods) / 20.0, "KiB");
}

fn main() {
    memory();
    for (name, workload) in WORKLOADS {
        for nodes in SIZES {
            cycles(name, workload, nodes);
        }
    }
}
