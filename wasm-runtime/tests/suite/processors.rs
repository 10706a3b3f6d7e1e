//! What guests take of the processors: counted, limited, shared by weight.

use std::time::Duration;

use crate::support::{Node, log, strings};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerId, ContainerSpec, Resources, Runtime as _};

fn spinning(node: &Node, name: &str, resources: Resources) -> ContainerSpec {
    let mut spec = node.container(name, "cli-p2");
    spec.args = Some(strings(&["spin"]));
    spec.resources = resources;
    spec
}

fn request(millis: u64) -> Resources {
    Resources { cpu_request_millis: Some(millis), ..Resources::default() }
}

fn limit(millis: u64) -> Resources {
    Resources { cpu_limit_millis: Some(millis), ..Resources::default() }
}

async fn nanos(node: &Node, id: &ContainerId) -> u64 {
    node.runtime.usage(id).await.unwrap().cpu_nanos
}

/// What this process computed so far, in nanoseconds.
fn of_process() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

#[tokio::test]
async fn what_is_counted_is_what_was_computed() {
    let node = Node::new();
    let mut spec = node.container("work", "cli-p2");
    spec.args = Some(strings(&["compute", "1000"]));
    node.runtime.create(&spec).await.unwrap();
    let before = of_process();
    node.runtime.start(&spec.id).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, 0);
    let (counted, computed) = (nanos(&node, &spec.id).await, of_process() - before);
    assert!(computed > 200_000_000, "too little to be compared: {computed}");
    assert!(counted <= computed && computed - counted < computed / 20, "{counted} of {computed}");
}

#[tokio::test]
async fn a_limit_holds_and_may_change() {
    let node = Node::new();
    let spec = spinning(&node, "limited", limit(100));
    node.runtime.create(&spec).await.unwrap();
    let began = Instant::now();
    node.runtime.start(&spec.id).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let taken = nanos(&node, &spec.id).await;
    let allowed = u64::try_from(began.elapsed().as_nanos()).unwrap() / 10;
    // One period's budget ahead, and one slice that was overdrawn, which is longer where others compute. Without a limit it is ten times as much.
    assert!(taken <= allowed * 3 / 2, "{taken} of {allowed}");
    assert!(taken > allowed / 2, "{taken} of {allowed}");

    node.runtime.update(&spec.id, &Resources::default()).await.unwrap();
    let (before, began) = (taken, Instant::now());
    while nanos(&node, &spec.id).await < before + 200_000_000 {
        assert!(began.elapsed() < Duration::from_secs(2), "it is still limited");
        sleep(Duration::from_millis(10)).await;
    }
    node.runtime.remove(&spec.id).await.unwrap();
}

#[tokio::test]
async fn containers_share_the_limit_of_their_pod() {
    let node = Node::new();
    let mut specs = ["one", "two"].map(|name| spinning(&node, name, Resources::default()));
    let mut sandbox = specs[0].sandbox.clone();
    sandbox.resources = limit(200);
    for spec in &mut specs {
        spec.id.sandbox = sandbox.id.clone();
        spec.sandbox = sandbox.clone();
    }
    node.runtime.ensure_sandbox(&sandbox).await.unwrap();
    let began = Instant::now();
    for spec in &specs {
        node.start(spec).await.unwrap();
    }
    let sum = async || nanos(&node, &specs[0].id).await + nanos(&node, &specs[1].id).await;
    sleep(Duration::from_secs(1)).await;
    let taken = sum().await;
    let allowed = u64::try_from(began.elapsed().as_nanos()).unwrap() / 5;
    // One period's budget ahead, and one slice of each that was overdrawn. How much less it is depends on who else computes here.
    assert!(taken > 0 && taken <= allowed + 40_000_000, "{taken} of {allowed}");

    sandbox.resources = Resources::default();
    node.runtime.ensure_sandbox(&sandbox).await.unwrap();
    let began = Instant::now();
    loop {
        let (before, since) = (sum().await, Instant::now());
        sleep(Duration::from_secs(1)).await;
        let (taken, limited) = (sum().await - before, since.elapsed().as_nanos() / 5);
        if u128::from(taken) > 2 * limited {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "they are still limited: {taken} of {limited}");
    }
    node.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

#[tokio::test]
async fn requests_are_shares_of_what_all_want() {
    let node = Node::new();
    let of_each = std::thread::available_parallelism().unwrap().get() * 2;
    let mut specs = Vec::new();
    for n in 0..of_each {
        for (name, millis) in [("much", 800), ("little", 200)] {
            let spec = spinning(&node, &format!("{name}-{n}"), request(millis));
            node.start(&spec).await.unwrap();
            specs.push(spec);
        }
    }
    let sum = async |name: &str| {
        let mut sum = 0;
        for spec in specs.iter().filter(|spec| spec.id.name.starts_with(name)) {
            sum += nanos(&node, &spec.id).await;
        }
        sum
    };
    let (much, little) = (sum("much").await, sum("little").await);
    while sum("little").await < little + 250_000_000 {
        sleep(Duration::from_millis(10)).await;
    }
    let (much, little) = (sum("much").await - much, sum("little").await - little);
    assert!((3 * little..5 * little).contains(&much), "{much} to {little}");
    for spec in &specs {
        assert_eq!(log(spec, Stream::Stdout), ["spinning"], "nobody is left out");
        node.runtime.remove(&spec.id).await.unwrap();
    }
}
