//! One simulation: a storm of a seed, then calm weather, then a look at what is left.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use wherry_store::{Event, Watch};

use crate::cluster::{Cluster, NAMESPACE};
use crate::invariants::{self, Gone, Invariant};
use crate::network::{Network, Weather};
use crate::node::Nodes;
use crate::random::Random;
use crate::user::{User, busy};
use crate::view::{Reader, View};

/// How long nothing may change before the cluster counts as settled: longer than any of its parts waits.
const QUIET: Duration = Duration::from_secs(90);
/// How long a cluster may take to settle.
const PATIENCE: Duration = Duration::from_hours(1);
/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many of a thousand answers of watches are left out, which is against the rules.
    pub forgotten: u64,
    /// How many changes a violation shows.
    pub shown: usize,
}

impl Plan {
    /// The usual for a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, forgotten: 0, shown: 40 }
    }
}

/// What a simulation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every change: when, what, and a sum over the object's bytes. The same for the same run.
    pub log: Vec<String>,
}

/// An invariant that did not hold.
#[derive(Debug)]
pub struct Violation {
    seed: u64,
    invariant: &'static str,
    message: String,
    changes: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}: {}", self.seed, self.invariant, self.message)?;
        writeln!(f, "the last changes were:")?;
        for change in &self.changes {
            writeln!(f, "  {change}")?;
        }
        write!(f, "again: SIM_SEED={} cargo nextest run -p wherry-sim --no-capture one_seed", self.seed)
    }
}

impl std::error::Error for Violation {}

/// Runs a simulation in this thread.
///
/// # Panics
///
/// Where the simulation itself is wrong, and not what it simulates.
pub fn run(plan: Plan) -> Result<Report, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(simulate(plan))
}

async fn simulate(plan: Plan) -> Result<Report, Violation> {
    let random = |part| Random::new(plan.seed, part);
    let gentle = random(0).per_mille(500);
    let (cluster, weather, calm) = (Cluster::start(), Weather::default(), CancellationToken::new());
    let deleted = Gone::default();
    let mut observer = Observer::new(plan, gentle, deleted.clone(), &cluster);
    let mut tasks = JoinSet::new();
    let server = cluster.server.clone();
    tasks.spawn(async move { server.keep().await });
    for namespace in ["default", "kube-node-lease", NAMESPACE] {
        cluster.caller().namespace(namespace).await;
    }
    // Pods that wait for it at the same time would be woken in an order that is left to chance.
    cluster.caller().account(NAMESPACE).await;
    let nodes = Nodes::new(&cluster, random(1), weather.clone(), random(2).between(1..=3), gentle);
    nodes.join().await;
    tasks.spawn(nodes.clone().run());
    tasks.spawn(nodes.clone().keep_alive());
    let router = cluster.router("system:kube-controller-manager");
    let network = Network::new(router, random(3), weather.clone()).forget(plan.forgotten);
    tasks.spawn(cluster.clone().controllers(network, random(4), plan.seed, calm.clone()));

    let user = User::new(cluster.caller(), random(5), nodes.clone(), deleted, gentle);
    observer.watch_until(Instant::now() + busy(&random(6)), user.clone().run()).await?;
    weather.calm_down();
    calm.cancel();
    nodes.find_all();
    user.finish().await;
    observer.settle().await?;
    tasks.shutdown().await;
    Ok(observer.report)
}

/// Shows every change to every invariant.
struct Observer {
    plan: Plan,
    watch: Watch,
    reader: Reader,
    view: View,
    invariants: Vec<Box<dyn Invariant>>,
    report: Report,
    start: Instant,
}

impl Observer {
    fn new(plan: Plan, gentle: bool, deleted: Gone, cluster: &Cluster) -> Self {
        Self {
            plan,
            watch: cluster.store.watch("", 0).expect("the beginning can be watched"),
            reader: Reader::default(),
            view: View::default(),
            invariants: invariants::all(gentle, deleted),
            report: Report::default(),
            start: Instant::now(),
        }
    }

    /// Looks on while `doing` goes on, until a time.
    async fn watch_until(&mut self, end: Instant, doing: impl Future<Output = ()>) -> Result<(), Violation> {
        tokio::pin!(doing);
        loop {
            tokio::select! {
                biased;
                Some(event) = self.watch.next() => {
                    self.see(&event.expect("the observer keeps up"))?;
                }
                () = sleep_until(end) => return Ok(()),
                () = &mut doing => return Ok(()),
            }
        }
    }

    /// Looks on until nothing changes any more, and then at what is left.
    async fn settle(&mut self) -> Result<(), Violation> {
        let end = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            if Instant::now() > end {
                return Err(self.violation("settles", "something still changes an hour later".to_owned()));
            }
            if let Ok(Some(event)) = timeout_at(last + QUIET, self.watch.next()).await
                && self.see(&event.expect("the observer keeps up"))?
            {
                last = Instant::now();
            }
        }
        let mut invariants = std::mem::take(&mut self.invariants);
        invariants.iter_mut().try_for_each(|invariant| {
            invariant.settled(&self.view).map_err(|message| self.violation(invariant.name(), message))
        })
    }

    /// Takes an event in; answers whether it counts as a change.
    fn see(&mut self, event: &Arc<Event>) -> Result<bool, Violation> {
        let Some(change) = self.reader.read(event) else { return Ok(false) };
        let sum = event.entry.value.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
        self.report.log.push(format!("{:>9.3} {change} {sum:08x}", self.start.elapsed().as_secs_f64()));
        let mut invariants = std::mem::take(&mut self.invariants);
        let seen = invariants.iter_mut().try_for_each(|invariant| {
            invariant.sees(&change, &self.view).map_err(|message| self.violation(invariant.name(), message))
        });
        self.invariants = invariants;
        self.view.take(&change);
        seen.map(|()| true)
    }

    fn violation(&self, invariant: &'static str, message: String) -> Violation {
        let changes = self.report.log.iter().rev().take(self.plan.shown).rev().cloned().collect();
        Violation { seed: self.plan.seed, invariant, message, changes }
    }
}
