//! What to do about a Job: decided from what the caches show, before anything is written.

use std::time::Duration;

use jiff::Timestamp;

use super::facts::{Facts, World};
use super::scale::{self, Change};
use super::verdict::{Verdict, deadline_in, verdict};

/// See the module's documentation.
pub(super) struct Plan<'a> {
    pub(super) facts: Facts<'a>,
    /// How the Job is to end, if it is to.
    pub(super) verdict: Option<Verdict>,
    pub(super) change: Change,
    /// Whether the number of Pods was looked at.
    pub(super) scaled: bool,
    /// When to look again although nothing happened.
    pub(super) look_again: Option<Duration>,
}

/// Decides; nothing if the Job has no spec.
pub(super) fn plan(world: World<'_>, now: Timestamp) -> Option<Plan<'_>> {
    let facts = Facts::gather(world)?;
    let verdict = verdict(&facts, now);
    let scaled = verdict.is_none() && world.settled && !facts.is_going();
    let (change, wait) = match &verdict {
        Some(verdict) => (stop(&facts, verdict), None),
        None if scaled => scale::change(&facts, now),
        None => (Change::Nothing, None),
    };
    let deadline = deadline_in(&facts, now).filter(|left| verdict.is_none() && !left.is_zero());
    let look_again = wait.into_iter().chain(deadline).min();
    Some(Plan { facts, verdict, change, scaled, look_again })
}

/// What is to be done with Pods that a Job which is over still has.
fn stop(facts: &Facts<'_>, verdict: &Verdict) -> Change {
    let pods = || facts.active.clone();
    match verdict.success {
        _ if facts.active.is_empty() => Change::Nothing,
        true if facts.world.settled => Change::Remove(pods()),
        true => Change::Nothing,
        false => Change::Stop(pods()),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
