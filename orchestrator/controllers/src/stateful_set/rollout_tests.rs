//! Random lives of StatefulSets: whatever happens to Pods, order and limits hold, and all comes to rest where it should.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::tests::{now, pod, revision, set};
use super::*;

/// How a Pod is, as a word of the tests of single plans, and its revision.
#[derive(Clone, Debug, PartialEq)]
struct State {
    is: &'static str,
    of: String,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reconcile,
    /// A Pod gets on: starts, becomes ready, or is gone if it was going.
    GetsOn(usize),
    Breaks(usize),
    Fails(usize),
    Scale(i32),
    Template(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Reconcile),
        8 => (0..6_usize).prop_map(Step::GetsOn),
        1 => (0..6_usize).prop_map(Step::Breaks),
        1 => (0..6_usize).prop_map(Step::Fails),
        1 => (0..5_i32).prop_map(Step::Scale),
        1 => (0..3_u8).prop_map(Step::Template),
    ]
}

struct Cluster {
    set: StatefulSet,
    update: String,
    pods: BTreeMap<i32, State>,
}

impl Cluster {
    fn plan(&self) -> Plan {
        let status = self.set.status.clone().unwrap_or_default();
        let current = revision(status.current_revision.as_deref().unwrap_or(&self.update));
        let update = revision(&self.update);
        let words = self.pods.iter().map(|(ordinal, state)| format!("{ordinal}:{}@{}", state.is, state.of));
        let pods: Vec<_> = words.map(|words| pod(&self.set, &words)).collect();
        let (set, claim, now) = (&self.set, &|_: &str| None, now());
        plan(&World { set, current: &current, update: &update, collisions: 0, pods: &pods, claim, now })
    }

    fn serving(&self) -> usize {
        self.pods.values().filter(|state| state.is == "ready").count()
    }

    /// Applies what is planned; checks that it is no more than may be done.
    fn reconcile(&mut self, parallel: bool) -> Result<usize, TestCaseError> {
        let plan = self.plan();
        let actions: Vec<_> = plan.steps.into_iter().flatten().flatten().collect();
        prop_assert!(parallel || actions.len() <= 1, "more than one at a time: {actions:?}");
        let count = actions.len();
        for action in actions {
            match action {
                Action::Create(new) => {
                    let ordinal = identity::ordinal(&self.set, &new).unwrap();
                    let before = self.pods.range(..ordinal).filter(|(_, state)| state.is == "ready");
                    prop_assert!(
                        parallel || before.count() == usize::try_from(ordinal).unwrap(),
                        "{ordinal} is early"
                    );
                    let of = identity::revision(&new).to_owned();
                    let held = self.pods.insert(ordinal, State { is: "pending", of });
                    prop_assert_eq!(held, None, "two Pods of one identity");
                }
                Action::Delete(gone) => {
                    self.delete(identity::ordinal(&self.set, &gone).unwrap(), parallel)?;
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        self.set.status = Some(plan.status);
        Ok(count)
    }

    fn delete(&mut self, ordinal: i32, parallel: bool) -> Result<(), TestCaseError> {
        let is_wanted = ordinal < wanted(&self.set);
        let state = self.pods[&ordinal].clone();
        if is_wanted && state.is == "ready" {
            let all = usize::try_from(wanted(&self.set)).unwrap();
            prop_assert!(parallel || self.serving() >= all, "{ordinal} goes while another is missing");
            prop_assert_ne!(state.of, self.update.clone(), "{} goes for nothing", ordinal);
        }
        self.pods.get_mut(&ordinal).unwrap().is = "going";
        Ok(())
    }

    fn take(&mut self, step: Step, parallel: bool) -> Result<(), TestCaseError> {
        let nth = |index: usize| self.pods.keys().nth(index).copied();
        match step {
            Step::Reconcile => drop(self.reconcile(parallel)?),
            Step::GetsOn(index) => {
                let Some(ordinal) = nth(index) else { return Ok(()) };
                let state = self.pods.get_mut(&ordinal).unwrap();
                match state.is {
                    "going" => drop(self.pods.remove(&ordinal)),
                    "pending" => state.is = "running",
                    "running" => state.is = "ready",
                    _ => {}
                }
            }
            Step::Breaks(index) => self.change(nth(index), "ready", "running"),
            Step::Fails(index) => self.change(nth(index), "running", "failed"),
            Step::Scale(replicas) => self.set.spec.as_mut().unwrap().replicas = Some(replicas),
            Step::Template(number) => self.update = format!("r{number}"),
        }
        Ok(())
    }

    fn change(&mut self, ordinal: Option<i32>, from: &str, to: &'static str) {
        if let Some(state) =
            ordinal.and_then(|ordinal| self.pods.get_mut(&ordinal)).filter(|state| state.is == from)
        {
            state.is = to;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn order_holds_and_all_comes_to_rest(parallel: bool, steps in prop::collection::vec(step(), 1..150)) {
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let set = set(3, &json!({"podManagementPolicy": policy}));
        let mut cluster = Cluster { set, update: "r0".into(), pods: BTreeMap::new() };
        for step in steps {
            cluster.take(step, parallel)?;
        }
        for _ in 0..80 {
            cluster.reconcile(parallel)?;
            for index in (0..6).rev() {
                cluster.take(Step::GetsOn(index), parallel)?;
            }
        }
        prop_assert_eq!(cluster.reconcile(parallel)?, 0, "it never comes to rest");
        let all: Vec<_> = cluster.pods.keys().copied().collect();
        prop_assert_eq!(all, (0..wanted(&cluster.set)).collect::<Vec<_>>());
        prop_assert!(cluster.pods.values().all(|state| state.is == "ready" && state.of == cluster.update));
        let status = cluster.set.status.unwrap();
        prop_assert_eq!(status.current_revision, status.update_revision);
    }
}
