//! How many Pods a Job should have now: which to make, or which to delete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::backoff::left_of_index;
use super::facts::Facts;
use super::indexes::{Indexes, index_of};
use super::template;
use crate::objects::pods::{is_terminal, is_terminating};
use crate::replica_set::rank::by_worth;

/// The most Pods made or deleted in one go.
const BURST: usize = 500;

/// What brings the number of Pods nearer to what is wanted.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Nothing,
    Create(Vec<Pod>),
    /// These are not needed: they are deleted and not counted.
    Remove(Vec<Arc<Pod>>),
    /// The Job has failed: these are deleted, and have failed with it.
    Stop(Vec<Arc<Pod>>),
}

/// Decides what to change, and when to decide again although nothing happened.
pub(super) fn change(facts: &Facts<'_>, now: Timestamp) -> (Change, Option<Duration>) {
    if facts.terms.suspended {
        let pods = facts.active.clone();
        return (if pods.is_empty() { Change::Nothing } else { Change::Remove(pods) }, None);
    }
    let (active, wanted) = (facts.active.len(), wanted(facts));
    let mut surplus = surplus(facts, active.saturating_sub(wanted));
    if !surplus.is_empty() {
        surplus.truncate(BURST);
        return (Change::Remove(surplus), None);
    }
    let ending = if facts.terms.replaces_failed_only { facts.terminating } else { 0 };
    match wanted.saturating_sub(ending + active).min(BURST) {
        0 => (Change::Nothing, None),
        count => create(facts, count, now),
    }
}

fn wanted(facts: &Facts<'_>) -> usize {
    match facts.terms.completions {
        Some(completions) => completions.saturating_sub(facts.succeeded).min(facts.terms.parallelism),
        // Once one has succeeded, the others are left to finish.
        None if facts.succeeded > 0 => facts.active.len(),
        None => facts.terms.parallelism,
    }
}

/// The Pods to delete: those of no index or of one that has another Pod, then as many as are too many.
fn surplus(facts: &Facts<'_>, at_least: usize) -> Vec<Arc<Pod>> {
    let (mut gone, left) =
        if facts.terms.indexed { split_indexes(facts) } else { (Vec::new(), facts.active.clone()) };
    let more = at_least.saturating_sub(gone.len());
    if more > 0 {
        gone.extend(by_worth(left).into_iter().take(more));
    }
    gone
}

fn split_indexes(facts: &Facts<'_>) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let (valid, mut gone): (Vec<_>, Vec<_>) =
        facts.active.iter().cloned().partition(|pod| facts.is_valid(pod));
    let mut of_index = BTreeMap::<usize, Vec<Arc<Pod>>>::new();
    for pod in valid {
        of_index.entry(index_of(&pod).unwrap_or_default()).or_default().push(pod);
    }
    let mut left = Vec::with_capacity(of_index.len());
    for pods in of_index.into_values() {
        let mut pods = by_worth(pods);
        left.extend(pods.pop());
        gone.extend(pods);
    }
    (gone, left)
}

fn create(facts: &Facts<'_>, count: usize, now: Timestamp) -> (Change, Option<Duration>) {
    let wait = facts.backoff.left(now);
    if facts.terms.backoff_limit_per_index.is_none() && !wait.is_zero() {
        return (Change::Nothing, Some(wait));
    }
    if !facts.terms.indexed {
        return (Change::Create(vec![template::pod(facts.world.job); count]), None);
    }
    let (mut pods, mut soonest) = (Vec::with_capacity(count), None);
    for index in busy(facts).missing(facts.terms.indexes()).take(count) {
        let last_failed = facts.last_failed.get(&index);
        let wait = left_of_index(last_failed.map(|pod| &**pod), now);
        if wait.is_zero() {
            pods.push(template::pod_of_index(facts, index, last_failed));
        } else {
            soonest = Some(soonest.map_or(wait, |before: Duration| before.min(wait)));
        }
    }
    (if pods.is_empty() { Change::Nothing } else { Change::Create(pods) }, soonest)
}

/// The indexes that need no Pod now.
fn busy(facts: &Facts<'_>) -> Indexes {
    let active = facts.active.iter().filter_map(|pod| index_of(pod)).collect();
    let mut busy = facts.succeeded_indexes.union(&active);
    if let Some(failed) = &facts.failed_indexes {
        busy = busy.union(failed);
    }
    if facts.terms.replaces_failed_only {
        let ending = facts.world.pods.iter().filter(|pod| is_terminating(pod) && !is_terminal(pod));
        busy = busy.union(&ending.filter_map(|pod| index_of(pod)).collect());
    }
    busy
}
