//! A simulated API, caches that lag behind it, and Pods that end as chance has it: whatever is lost, late or repeated,
//! and wherever the controller stops, the counts of a Job are those of the Pods that ended.

mod api;
mod environment;

use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::api::{Api, Chance, View};
use super::drive::drive;
use super::facts::World;
use super::memory::Memory;
use crate::objects::jobs::{Ending, ending};
use crate::objects::meta::Key;

/// After so many steps nothing is lost any more, so that the Job must come to its end.
const UNFAIR: usize = 250;
const STEPS: usize = 4_000;

/// The controller and what is around it.
struct Simulation {
    api: Api,
    view: View,
    memory: Memory,
    now: Timestamp,
    key: Key,
}

impl Simulation {
    fn new(seed: u64, spec: &Value) -> Self {
        let object = json!({
            "metadata": { "name": "j", "namespace": "ns", "uid": "job", "resourceVersion": "1", "generation": 1 },
            "spec": spec,
            "status": {},
        });
        let job: Job = serde_json::from_value(object).unwrap();
        let api = Api::new(Chance::new(seed), job);
        let view = api.list();
        let now = Timestamp::from_second(1_000_000).unwrap();
        Self { api, view, memory: Memory::default(), now, key: Key::new("ns", "j") }
    }

    /// Runs until the Job has ended.
    async fn run(&mut self) -> Ending {
        for step in 0..STEPS {
            if step == UNFAIR {
                self.api.be_fair();
            }
            self.step().await;
            if let Some(ending) = ending(&self.api.job()) {
                return ending;
            }
        }
        panic!("the Job does not end: {:#?}", self.api.job().status);
    }

    async fn step(&mut self) {
        match self.api.draw(8) {
            0..=2 => self.api.live(self.now),
            3 | 4 => self.view.catch_up(&self.api, &self.memory),
            5 if self.api.is_unfair() && self.api.draw(4) == 0 => self.restart(),
            5 => {
                // Long enough for expectations and failures to be forgotten, once everything was seen.
                self.view.see_all(&self.api, &self.memory);
                tokio::time::advance(Duration::from_mins(11)).await;
                self.now += SignedDuration::from_mins(11);
            }
            _ => {
                self.now += SignedDuration::from_secs(1);
                self.reconcile();
            }
        }
        self.api.check();
    }

    fn restart(&mut self) {
        self.memory = Memory::default();
        self.view = self.api.list();
    }

    /// One run of the controller; one that does not come to its end is one during which it crashed.
    fn reconcile(&mut self) {
        let job = self.view.job();
        if ending(&job).is_some() || self.memory.is_behind(&self.key, &job) {
            return;
        }
        let (open, released) = (self.memory.expectations.open(&self.key), self.memory.released(&self.key));
        let pods = self.view.pods();
        let world = World {
            job: &job,
            pods: &pods,
            released: &released,
            backoff: self.memory.backoff(&self.key),
            settled: open.is_none(),
        };
        self.api.begin();
        let ended = drive((&self.api, &self.memory), &self.key, world, self.now).now_or_never();
        self.api.noted_pods().into_iter().for_each(|pod| self.view.note_pod(pod));
        if let Some(written) = self.api.noted() {
            self.view.note(written);
        }
        if ended.is_none() {
            self.restart();
        }
    }
}

fn run(seed: u64, spec: &Value) -> (Simulation, Ending) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new(seed, spec);
        let ending = simulation.run().await;
        (simulation, ending)
    })
}

fn spec(more: &Value) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": { "job": "j" } },
        "template": {
            "metadata": { "labels": { "job": "j" } },
            "spec": { "containers": [{ "name": "c" }], "restartPolicy": "Never" },
        },
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_pod_that_ended_is_counted_once(
        seed: u64,
        completions in prop::option::of(1_i32..8),
        parallelism in 1_i32..6,
        limit in 0_i32..12,
        replacement in prop::sample::select(vec!["TerminatingOrFailed", "Failed"]),
    ) {
        let spec = spec(&json!({
            "completions": completions, "parallelism": parallelism, "backoffLimit": limit,
            "podReplacementPolicy": replacement,
        }));
        let (simulation, ending) = run(seed, &spec);
        let (status, truth) = (simulation.api.job().status.unwrap(), simulation.api.truth());
        prop_assert_eq!(status.succeeded.unwrap_or(0), i32::try_from(truth.succeeded).unwrap());
        prop_assert!(truth.failures(ending).contains(&status.failed.unwrap_or(0)));
        let succeeded = status.succeeded.unwrap_or(0);
        match (ending, completions) {
            (Ending::Complete, Some(completions)) => prop_assert_eq!(succeeded, completions),
            (Ending::Complete, None) => prop_assert!(succeeded > 0),
            (Ending::Failed, _) => prop_assert!(status.failed.unwrap_or(0) > limit),
        }
        prop_assert_eq!(truth.tracked, 0);
        prop_assert_eq!(truth.active, 0);
    }

    #[test]
    fn every_index_that_succeeded_is_counted_once(
        seed: u64,
        completions in 1_i32..8,
        parallelism in 1_i32..6,
        per_index in prop::option::of(0_i32..3),
        most in prop::option::of(0_i32..4),
    ) {
        let spec = spec(&json!({
            "completionMode": "Indexed", "completions": completions, "parallelism": parallelism,
            "backoffLimit": if per_index.is_some() { i32::MAX } else { 5 },
            "backoffLimitPerIndex": per_index, "maxFailedIndexes": most.filter(|_| per_index.is_some()),
        }));
        let (simulation, ending) = run(seed, &spec);
        let (status, truth) = (simulation.api.job().status.unwrap(), simulation.api.truth());
        prop_assert_eq!(status.completed_indexes.unwrap_or_default(), truth.indexes.to_string());
        prop_assert_eq!(status.succeeded.unwrap_or(0), i32::try_from(truth.indexes.len()).unwrap());
        prop_assert!(truth.failures(ending).contains(&status.failed.unwrap_or(0)));
        if ending == Ending::Complete {
            prop_assert_eq!(truth.indexes.len(), usize::try_from(completions).unwrap());
        }
        if let Some(limit) = per_index {
            let most = truth.failures_of_indexes.values().copied().max().unwrap_or(0);
            prop_assert!(most <= limit + 1, "an index failed {} times", most);
        }
        prop_assert_eq!(truth.tracked, 0);
        prop_assert_eq!(truth.active, 0);
    }
}

/// What is true at the end, by looking at all Pods there ever were.
#[derive(Default)]
struct Truth {
    succeeded: usize,
    failed: usize,
    /// Those of them that were told to go.
    failed_going: usize,
    tracked: usize,
    active: usize,
    indexes: super::indexes::Indexes,
    failures_of_indexes: std::collections::HashMap<usize, i32>,
}

impl Truth {
    /// How many failures may be counted. Pods that a Job which succeeded told to go are not waited for.
    fn failures(&self, ending: Ending) -> std::ops::RangeInclusive<i32> {
        let least = if ending == Ending::Complete { self.failed - self.failed_going } else { self.failed };
        i32::try_from(least).unwrap()..=i32::try_from(self.failed).unwrap()
    }
}

type Uids = HashSet<String>;
