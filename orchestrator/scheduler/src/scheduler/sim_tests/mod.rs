//! Schedulers beside a server that loses requests and answers: what must hold whatever happens.
//!
//! The time is simulated, so minutes of retries pass at once. A failure names its seed:
//! `WHERRY_SEED=<seed> cargo nextest run -p wherry-scheduler sim_tests`; `WHERRY_SEEDS=<count>` goes through more.

mod extenders;
mod server;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::SystemClock;

use super::Scheduler;
use crate::config::Config;
use crate::io::events::recorder;
use crate::io::random::Random;
use server::{Deed, Model, Server};

/// How many histories a test goes through.
const SEEDS: u64 = 300;

/// Schedulers at work; they stop when this is dropped.
struct Running {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Running {
    fn start(server: &Server, seed: u64) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let client = server.client();
        let config = Config { seed, ..Config::new(Arc::new(SystemClock)) };
        let (recorder, writer) = recorder(client.clone(), config.clock.clone(), "host".to_owned());
        tasks.spawn(writer.run(stop.clone()));
        tasks.spawn(Scheduler::new(client, config, recorder).run(server.watch(seed), stop.clone()));
        Self { tasks, stop }
    }

    /// Stops at once, as a process that is killed.
    async fn kill(mut self) {
        self.stop.cancel();
        self.tasks.shutdown().await;
    }
}

/// Seeds to go through: the one that is asked for, or all.
fn seeds() -> Vec<u64> {
    let asked = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let count = asked("WHERRY_SEEDS").unwrap_or(SEEDS);
    asked("WHERRY_SEED").map_or_else(|| (0..count).collect(), |seed| vec![seed])
}

/// One thing that happens in a cluster.
fn happen(model: &mut Model, random: &mut Random, count: usize) {
    let bound = |model: &Model| {
        let bound = model.pods.iter().filter(|(_, pod)| pod.node.is_some() && !pod.is_ending);
        bound.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    match random.below(10) {
        0..=5 => {
            let priority = i32::try_from(random.below(4)).unwrap();
            let cpu = i64::try_from(random.below(4)).unwrap() + 1;
            model.create(&format!("pod-{count}"), priority, cpu);
        }
        6 => {
            let pods = bound(model);
            if !pods.is_empty() {
                let name = pods[random.below(pods.len())].clone();
                model.remove(&name);
            }
        }
        7 => {
            let name = format!("node-{}", random.below(4));
            let more = model.nodes.get(&name).copied().unwrap_or(2) + 1;
            model.set_node(&name, more.min(9));
        }
        8 => model.end_those_who_must(),
        _ => {}
    }
}

async fn let_pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets everything come to rest.
async fn settle(server: &Server) {
    for _ in 0..6 {
        let_pass(Duration::from_secs(30)).await;
        server.0.lock().end_those_who_must();
    }
    let_pass(Duration::from_secs(30)).await;
}

/// No node has more than it can take, nobody waits who fits, nor in favour of somebody of lower priority.
fn check_at_rest(model: &Model, seed: u64) {
    assert_eq!(model.faults, Vec::<String>::new(), "seed {seed}");
    for (name, pod) in model.pods.iter().filter(|(_, pod)| pod.node.is_none()) {
        for node in model.nodes.keys() {
            assert!(model.free(node) < pod.cpu, "seed {seed}: {name} {pod:?} fits on {node}");
            let lower = model.pods.values().filter(|other| {
                other.node.as_deref() == Some(node) && !other.has_failed && other.priority < pod.priority
            });
            let room = model.free(node) + lower.map(|other| other.cpu).sum::<i64>();
            assert!(room < pod.cpu, "seed {seed}: {name} {pod:?} waits for lower ones on {node}");
        }
    }
}

/// Each one who had to end made room for somebody above, who may have come faster than the end was told.
fn check_evictions(model: &Model, seed: u64) {
    for (at, deed) in model.deeds.iter().enumerate() {
        if let Deed::Evicted { priority, node, .. } = deed {
            let is_above = |deed: &Deed| matches!(deed, Deed::Bound { priority: by, .. } if by > priority);
            let is_here =
                |deed: &Deed| matches!(deed, Deed::Bound { node: other, .. } if Some(other) == node.as_ref());
            let later = model.deeds[at..].iter().any(is_above);
            let just_before = &model.deeds[at.saturating_sub(3)..at];
            let used = later || just_before.iter().any(|deed| is_above(deed) && is_here(deed));
            assert!(used, "seed {seed}: {deed:?} for nothing: {:#?}", model.deeds);
        }
    }
}

async fn history(seed: u64, lost: usize, schedulers: u64) {
    let server = Server::default();
    let mut random = Random::new(seed);
    {
        let mut model = server.0.lock();
        model.lost = lost;
        model.nodes_refuse = schedulers > 1;
        model.set_node("node-0", 6);
        model.set_node("node-1", 4);
    }
    let start =
        |server: &Server| (0..schedulers).map(|other| Running::start(server, seed * 7 + other)).collect();
    let mut running: Vec<Running> = start(&server);
    for count in 0..40 {
        happen(&mut server.0.lock(), &mut random, count);
        let_pass(Duration::from_millis(random.below(100) as u64)).await;
        if lost > 0 && random.below(20) == 0 {
            for scheduler in running.drain(..) {
                scheduler.kill().await;
            }
            running = start(&server);
        }
    }
    settle(&server).await;
    let model = server.0.lock();
    check_at_rest(&model, seed);
    if schedulers == 1 {
        check_evictions(&model, seed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_does_not_hold_the_scheduler() {
    let server = Server::default();
    server.0.lock().lost = 20;
    server.0.lock().set_node("node-0", 8);
    let mut running = Running::start(&server, 1);
    server.0.lock().create("pod", 1, 1);
    let_pass(Duration::from_secs(1)).await;
    running.stop.cancel();
    while running.tasks.join_next().await.is_some() {}
    assert!(server.0.lock().pods["pod"].node.is_none());
}

#[tokio::test(start_paused = true)]
async fn no_node_is_over_committed_and_nobody_waits_who_fits() {
    for seed in seeds() {
        history(seed, 0, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_with_lost_requests_and_answers_and_restarts() {
    for seed in seeds() {
        history(seed, 3, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_never_bind_a_pod_twice_and_nodes_refuse_what_is_too_much() {
    for seed in seeds() {
        history(seed, 2, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_is_placed_within_one_event() {
    for seed in seeds() {
        let server = Server::default();
        let mut random = Random::new(seed);
        server.0.lock().set_node("node-0", 8);
        let _running = Running::start(&server, seed);
        for count in 0..30 {
            happen(&mut server.0.lock(), &mut random, count);
            // Less than any backing off: whoever fits has to be tried by the event itself.
            for _ in 0..4 {
                let_pass(Duration::from_millis(200)).await;
                server.0.lock().end_those_who_must();
            }
            check_at_rest(&server.0.lock(), seed);
        }
    }
}
