//! While a Deployment rolls, its ReplicaSets never ask for more Pods than `maxSurge` allows, and never for so few that less
//! than `maxUnavailable` allows could stay available.
//!
//! A limit is that of what the controller knew, which may be older than what is asked for now: the widest of the
//! generations since the one that the status says was looked at. That Pods stay available is held in gentle simulations
//! only, in which nobody else takes them away. There the controller may have heard of fewer than are: what it takes for
//! unavailable it may take away, as upstream's does, so only Pods that it must have heard of count as taken.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Invariant;
use crate::object::{controller, is_active, is_terminating, is_true, name, number, uid};
use crate::view::{Change, View};

/// How old may be what the controller knows of a ReplicaSet.
const BELIEVED: Duration = Duration::from_mins(1);

/// See the module's documentation.
pub(super) struct DeploymentsKeepTheirLimits {
    gentle: bool,
    /// The limits of each Deployment, by generation.
    limits: BTreeMap<String, BTreeMap<i64, Limits>>,
    /// What each ReplicaSet said of its available Pods, and when.
    said: BTreeMap<String, Vec<(Instant, i64)>>,
}

#[derive(Clone, Copy)]
struct Limits {
    most: i64,
    least: i64,
}

impl DeploymentsKeepTheirLimits {
    pub(super) fn new(gentle: bool) -> Self {
        Self { gentle, limits: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// The widest limits that the controller may have known.
    fn known(&self, deployment: &Value) -> Option<Limits> {
        let looked_at = number(deployment, "status.observedGeneration");
        let known = self.limits.get(uid(deployment))?.range(looked_at..).map(|(_, limits)| *limits);
        known.reduce(|a, b| Limits { most: a.most.max(b.most), least: a.least.min(b.least) })
    }

    fn shrank(
        &self,
        limits: Limits,
        before: &View,
        set: &Value,
        (old, new): (i64, i64),
    ) -> Result<(), String> {
        if !self.gentle {
            return Ok(());
        }
        let stay = |replicas: i64| -> i64 {
            let sets = before.owned("ReplicaSet", controller(set));
            sets.map(|other| {
                let asked = if uid(other) == uid(set) { replicas } else { number(other, "spec.replicas") };
                asked.min(ready(before, other))
            })
            .sum()
        };
        let surely = ready(before, set).min(self.lowest_said(set));
        if stay(new) < limits.least && new.min(surely) < old.min(surely) {
            return Err(format!(
                "{} goes from {old} to {new}: {} Pods stay ready, of at least {}",
                name(set),
                stay(new),
                limits.least,
            ));
        }
        Ok(())
    }

    /// The fewest available Pods that a ReplicaSet said it had while the controller may still have believed it.
    fn lowest_said(&self, set: &Value) -> i64 {
        let said = self.said.get(uid(set)).map_or(&[][..], Vec::as_slice);
        let old = said.partition_point(|(when, _)| when.elapsed() > BELIEVED);
        said[old.saturating_sub(1)..].iter().map(|(_, available)| *available).min().unwrap_or_default()
    }

    fn grew(limits: Limits, before: &View, set: &Value, (old, new): (i64, i64)) -> Result<(), String> {
        let others = before.owned("ReplicaSet", controller(set)).filter(|other| uid(other) != uid(set));
        let sum: i64 = others.map(|other| number(other, "spec.replicas")).sum::<i64>() + new;
        if sum > limits.most {
            return Err(format!(
                "{} goes from {old} to {new}: {sum} Pods in all, of at most {}",
                name(set),
                limits.most
            ));
        }
        Ok(())
    }
}

impl Invariant for DeploymentsKeepTheirLimits {
    fn name(&self) -> &'static str {
        "a Deployment keeps maxSurge and maxUnavailable"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let Some(new) = &change.new else { return Ok(()) };
        if change.kind == "Deployment" {
            let limits = self.limits.entry(uid(new).to_owned()).or_default();
            limits.insert(number(new, "metadata.generation"), limits_of(new));
        }
        if change.kind != "ReplicaSet" {
            return Ok(());
        }
        let said = self.said.entry(uid(new).to_owned()).or_default();
        said.push((Instant::now(), number(new, "status.availableReplicas")));
        let Some(deployment) = before.get("Deployment", controller(new)).filter(|d| !is_terminating(d))
        else {
            return Ok(());
        };
        let was_owned = change.old.as_ref().is_none_or(|old| controller(old) == controller(new));
        let Some(limits) = self.known(deployment).filter(|_| was_owned) else { return Ok(()) };
        let sizes =
            (change.old.as_ref().map_or(0, |old| number(old, "spec.replicas")), number(new, "spec.replicas"));
        match sizes.0.cmp(&sizes.1) {
            std::cmp::Ordering::Less => Self::grew(limits, before, new, sizes),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => self.shrank(limits, before, new, sizes),
        }
    }
}

fn ready(view: &View, set: &Value) -> i64 {
    let ready = view.owned("Pod", uid(set)).filter(|pod| is_active(pod) && is_true(pod, "Ready")).count();
    i64::try_from(ready).unwrap_or(i64::MAX)
}

fn limits_of(deployment: &Value) -> Limits {
    let replicas = number(deployment, "spec.replicas");
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    if rolling.is_null() {
        return Limits { most: replicas, least: 0 };
    }
    let surge = share(&rolling["maxSurge"], replicas, 99);
    let unavailable = share(&rolling["maxUnavailable"], replicas, 0);
    // As both may not be zero, percentages that come to nothing let one Pod go.
    let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
    Limits { most: replicas + surge, least: (replicas - unavailable).max(0) }
}

/// A number, or a percentage of the replicas.
fn share(limit: &Value, replicas: i64, round_up: i64) -> i64 {
    let percent = limit.as_str().and_then(|limit| limit.strip_suffix('%')?.parse::<i64>().ok());
    percent.map_or(limit.as_i64().unwrap_or_default(), |percent| (percent * replicas + round_up) / 100)
}
