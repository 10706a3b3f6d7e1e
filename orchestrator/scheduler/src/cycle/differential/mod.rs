//! The incremental engine beside a naive implementation of the same rules, on random clusters that keep changing:
//! the nodes that fit, why the others do not, the scores, the choice and, where none fits, who has to end must be equal.
//!
//! `WHERRY_SCHEDULER_CASES` says how many decisions are compared, `WHERRY_SCHEDULER_SEED` where to begin.

mod cases;
mod filters;
mod preemption;
mod scores;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::io::random::Random;
use crate::preemption::Budgets;
use cases::Cases;
use world::World;

/// What each node is to a Pod: its score, or the reasons against it.
type Found = BTreeMap<String, Result<i64, String>>;

/// Both implementations, fed the same.
struct Pair {
    world: World,
    cluster: Cluster,
    profile: Profile,
    scratch: Scratch,
    budgets: Budgets,
}

impl Pair {
    fn new() -> Self {
        Self {
            world: World::default(),
            cluster: Cluster::default(),
            profile: Profile::new("default-scheduler".to_owned()),
            scratch: Scratch::default(),
            budgets: Budgets::default(),
        }
    }

    fn set_node(&mut self, node: Value) {
        self.cluster.set_node(&serde_json::from_value(node.clone()).unwrap());
        self.world.nodes.insert(node["metadata"]["name"].as_str().unwrap().to_owned(), node);
    }

    fn remove_node(&mut self, name: &str) {
        self.cluster.remove_node(name);
        self.world.nodes.remove(name);
    }

    fn set_namespace(&mut self, namespace: &Value) {
        self.cluster.set_namespace(&serde_json::from_value(namespace.clone()).unwrap());
        let name = namespace["metadata"]["name"].as_str().unwrap().to_owned();
        self.world.namespaces.insert(name, namespace["metadata"]["labels"].clone());
    }

    fn set_service(&mut self, namespace: &str, name: &str, selector: &Value) {
        let selector = serde_json::from_value(json!({ "matchLabels": selector })).unwrap();
        let parsed = crate::pod::parse_selector(&selector);
        self.cluster.selectors.set_service(namespace, name, parsed);
        let selector = serde_json::to_value(selector).unwrap();
        self.world.services.insert((namespace.to_owned(), name.to_owned()), selector);
    }

    /// How many Pods with this label `app` may be ended.
    fn set_budget(&mut self, namespace: &str, app: &str, allowed: i32) {
        let budget = json!({
            "metadata": { "name": app, "namespace": namespace },
            "spec": { "selector": { "matchLabels": { "app": app } } },
            "status": { "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 },
        });
        self.budgets.set(&serde_json::from_value(budget).unwrap());
        self.world.budgets.insert((namespace.to_owned(), app.to_owned()), allowed);
    }

    fn place(&mut self, pod: Value, node: &str) {
        self.cluster.set_pod(&info(&pod), node);
        self.world.pods.insert(uid(&pod), (pod, node.to_owned()));
    }

    fn remove_pod(&mut self, uid: &str) {
        self.cluster.remove_pod(uid);
        self.world.pods.remove(uid);
    }

    /// What the engine says of each node.
    fn engine(&mut self, pod: &PodInfo) -> Found {
        let place = self.scratch.class(pod, &mut self.cluster, &self.profile);
        let Scratch { classes, nodes, totals, .. } = &mut self.scratch;
        let class = &classes[place];
        let question = Question { pod, needs: None, cluster: &self.cluster, profile: &self.profile };
        question.find_fitting(class, nodes);
        add_up(class, &self.cluster, &self.profile, nodes, totals);
        let of_node = |(index, node): (NodeIndex, &crate::cluster::NodeInfo)| {
            let score = nodes.iter().position(|fitting| *fitting == index.number()).map(|at| totals[at]);
            let refusal =
                || question.ask(class, &Checks::new(&class.plan, &self.cluster), index).unwrap_err();
            (node.name.clone(), score.ok_or_else(|| refusal().texts(&pod.template).join(", ")))
        };
        self.cluster.nodes().map(of_node).collect()
    }

    /// Compares everything about one Pod; returns where it goes.
    fn compare(
        &mut self,
        pod: &Value,
        random: &mut Random,
        reasons: &mut BTreeSet<String>,
    ) -> Option<String> {
        let parsed = info(pod);
        let expected = self.world.judge(pod);
        let found = self.engine(&parsed);
        reasons.extend(expected.values().filter_map(|found| found.clone().err()));
        // One node that fits is taken as it is, without scores.
        let fitting = expected.values().filter(|found| found.is_ok()).count();
        let plain = |found: &Found| -> BTreeMap<_, _> {
            found
                .iter()
                .map(|(name, found)| {
                    (name.clone(), found.clone().map(|score| if fitting > 1 { score } else { 0 }))
                })
                .collect()
        };
        assert_eq!(plain(&found), plain(&expected), "{pod:#}\n{:#?}", self.world);
        let highest = expected.values().flatten().max();
        let mut best: Vec<_> = expected
            .iter()
            .filter(|(_, score)| score.is_ok() && (fitting == 1 || score.as_ref().ok() == highest))
            .filter_map(|(name, _)| self.cluster.node_named(name))
            .collect();
        best.sort_unstable();
        let drawn = random.below(best.len());
        let draw = |count| {
            assert_eq!(count, best.len());
            drawn
        };
        let decision = schedule(&parsed, &mut self.cluster, &self.profile, &mut self.scratch, draw);
        match decision {
            Ok(decision) => {
                assert_eq!((Some(&decision.node), decision.feasible), (best.get(drawn), fitting));
                Some(self.cluster.node(decision.node).name.clone())
            }
            Err(refused) => {
                assert_eq!((fitting, refused.nodes), (0, self.world.nodes.len()));
                self.compare_victims(pod, &refused);
                None
            }
        }
    }
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn info(pod: &Value) -> PodInfo {
    PodInfo::new(Arc::new(serde_json::from_value(pod.clone()).unwrap()))
}

/// What must have been said at least once, for the comparison to be worth something.
const REASONS: [&str; 13] = [
    "Insufficient cpu",
    "Insufficient memory",
    "Too many pods",
    "node(s) didn't have free ports for the requested pod ports",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't match pod topology spread constraints",
    "node(s) didn't match pod topology spread constraints (missing required label)",
    "node(s) didn't satisfy existing pods anti-affinity rules",
    "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    "node(s) had untolerated taint(s)",
    "node(s) were unschedulable",
];

/// Lets a cluster change and compares decisions in between; returns how many, and the reasons that were given.
fn run(seed: u64) -> (usize, BTreeSet<String>) {
    let mut cases = Cases::new(seed);
    let mut pair = Pair::new();
    cases.fill(&mut pair);
    let (mut compared, mut reasons) = (0, BTreeSet::new());
    for _ in 0..30 {
        let pod = cases.pod();
        let node = pair.compare(&pod, &mut cases.random, &mut reasons);
        compared += 1;
        if let Some(node) = node {
            pair.place(pod, &node);
        }
        cases.change(&mut pair);
    }
    (compared, reasons)
}

#[test]
fn the_engine_decides_as_the_naive_rules_do() {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (wanted, mut seed) = (number("WHERRY_SCHEDULER_CASES", 3_000), number("WHERRY_SCHEDULER_SEED", 1));
    let (mut compared, mut reasons) = (0, BTreeSet::new());
    while compared < wanted {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let Ok((decisions, given)) = outcome else {
            panic!("with WHERRY_SCHEDULER_SEED={seed} WHERRY_SCHEDULER_CASES=1")
        };
        compared += u64::try_from(decisions).unwrap();
        reasons.extend(given);
        seed += 1;
    }
    let missing: Vec<_> = REASONS.into_iter().filter(|reason| !reasons.contains(*reason)).collect();
    assert!(missing.is_empty() || wanted < 3_000, "never said: {missing:?}");
}
