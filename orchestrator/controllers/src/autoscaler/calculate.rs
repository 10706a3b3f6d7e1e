//! From what was measured to a number of replicas.
//!
//! Flow: the ratio of what is used to what is wanted, of the Pods that were measured; then once more with a guess for
//! all others, chosen so that it holds the change back. A change that the guess would turn round is none.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::config::Autoscaling;
use super::pods::{Crowd, Values, crowd, requests};
use super::samples::Samples;
use crate::objects::pods::{is_ready, is_running};

const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

/// How far from 1 a ratio may be without a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    fn cover(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// What a target is like.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) namespace: &'a str,
    /// How many replicas are asked for.
    pub(super) wanted: i32,
    /// How many there are.
    pub(super) observed: i32,
    /// Its Pods.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) tolerances: Tolerances,
    pub(super) options: &'a Autoscaling,
    pub(super) now: Timestamp,
}

/// How much is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// In percent of what was asked for.
    pub(super) percent: i32,
    /// By each Pod on average, in thousandths.
    pub(super) average: i64,
}

impl World<'_> {
    /// How many replicas use this share of what they asked for, in percent.
    pub(super) fn by_utilization(
        &self,
        samples: &Samples,
        (resource, container): (&str, Option<&str>),
        target: i32,
    ) -> Result<(i32, Usage), String> {
        let crowd = self.crowd(samples, resource)?;
        let requests = requests(self.pods, resource, container)?;
        let ratio = |values: &Values| utilization(values, &requests, target);
        // Whoever was not measured uses all it asked for, or what is wanted if that is more.
        let guess = |name: &str| {
            let request = requests.get(name).copied().unwrap_or_default();
            request.saturating_mul(i64::from(target.max(100))) / 100
        };
        propose(crowd, self, ratio, guess)
    }

    /// How many replicas use this much on average, in thousandths.
    pub(super) fn by_average(
        &self,
        samples: &Samples,
        resource: &str,
        target: i64,
    ) -> Result<(i32, i64), String> {
        let crowd = self.crowd(samples, resource)?;
        let ratio = |values: &Values| {
            let average = sum(values.values()) / count(values.len()).max(1);
            Ok((float(average) / float(target), average))
        };
        propose(crowd, self, ratio, |_| target)
    }

    /// How many replicas bring the whole down, or up, to the target.
    pub(super) fn by_whole(&self, usage: i64, target: i64) -> Result<i32, String> {
        let ratio = float(usage) / float(target);
        if self.tolerances.cover(ratio) {
            return Ok(self.wanted);
        }
        if self.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        let ready = self.pods.iter().filter(|pod| is_running(pod) && is_ready(pod)).count();
        Ok(ceil(ratio * float(count(ready))))
    }

    /// How many replicas share the whole so that each has this much, and how much each has now.
    pub(super) fn by_share(&self, usage: i64, target: i64) -> (i32, i64) {
        let (usage, observed) = (float(usage), f64::from(self.observed));
        let ratio = usage / (float(target) * observed);
        let replicas = if self.tolerances.cover(ratio) { self.observed } else { ceil(usage / float(target)) };
        (replicas, whole((usage / observed).ceil()))
    }

    fn crowd(&self, samples: &Samples, resource: &str) -> Result<Crowd, String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let crowd = crowd(self.pods, samples, resource == "cpu", (self.options, self.now));
        if crowd.values.is_empty() { Err(NO_METRICS.to_owned()) } else { Ok(crowd) }
    }
}

/// The ratio of what is used to what is wanted. Pods that nobody knows do not count.
fn utilization(values: &Values, requests: &Values, target: i32) -> Result<(f64, Usage), String> {
    let known: Vec<_> =
        values.iter().filter_map(|(name, value)| Some((value, requests.get(name)?))).collect();
    let used = sum(known.iter().map(|(value, _)| *value));
    let requested = sum(known.iter().map(|(_, request)| *request));
    if requested == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = used.saturating_mul(100) / requested;
    let percent = i32::try_from(percent).unwrap_or(i32::MAX);
    let usage = Usage { percent, average: used / count(known.len()).max(1) };
    Ok((f64::from(percent) / f64::from(target), usage))
}

fn propose<U>(
    mut crowd: Crowd,
    world: &World<'_>,
    ratio: impl Fn(&Values) -> Result<(f64, U), String>,
    guess: impl Fn(&str) -> i64,
) -> Result<(i32, U), String> {
    let (first, usage) = ratio(&crowd.values)?;
    let grows_unready = !crowd.unready.is_empty() && first > 1.0;
    if !grows_unready && crowd.missing.is_empty() {
        let is_near = world.tolerances.cover(first);
        return Ok((if is_near { world.wanted } else { ceil(first * float(crowd.ready)) }, usage));
    }
    for name in std::mem::take(&mut crowd.missing) {
        if first < 1.0 {
            let value = guess(&name);
            crowd.values.insert(name, value);
        } else if first > 1.0 {
            crowd.values.insert(name, 0);
        }
    }
    if grows_unready {
        crowd.values.extend(std::mem::take(&mut crowd.unready).into_iter().map(|name| (name, 0)));
    }
    let (again, _) = ratio(&crowd.values)?;
    let turns = (first < 1.0 && again > 1.0) || (first > 1.0 && again < 1.0);
    if world.tolerances.cover(again) || turns {
        return Ok((world.wanted, usage));
    }
    let replicas = ceil(again * float(count(crowd.values.len())));
    let turns = (again < 1.0 && replicas > world.wanted) || (again > 1.0 && replicas < world.wanted);
    Ok((if turns { world.wanted } else { replicas }, usage))
}

fn sum<'a>(values: impl Iterator<Item = &'a i64>) -> i64 {
    values.fold(0, |sum: i64, value| sum.saturating_add(*value))
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "what is too large becomes the largest")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// Replicas, rounded up.
#[expect(clippy::cast_possible_truncation, reason = "what is too large becomes the largest")]
pub(super) fn ceil(value: f64) -> i32 {
    value.ceil() as i32
}

#[cfg(test)]
#[path = "calculate_tests.rs"]
mod tests;
