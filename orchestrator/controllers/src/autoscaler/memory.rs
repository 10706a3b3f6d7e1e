//! What an autoscaler remembers: what it recommended, and by how much it scaled.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// See the module's documentation. It is lost with the process, as upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    recommendations: Vec<(Timestamp, i32)>,
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

impl Memory {
    /// Whoever remembers nothing takes what is there for what was recommended.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Remembers a recommendation and forgets those from before a time.
    pub(super) fn recommend(&mut self, replicas: i32, now: Timestamp, since: Timestamp) {
        self.recommendations.retain(|(at, _)| *at >= since);
        self.recommendations.push((now, replicas));
    }

    /// What was recommended, and when.
    pub(super) fn recommendations(&self) -> impl Iterator<Item = (Timestamp, i32)> {
        self.recommendations.iter().copied()
    }

    /// Remembers that the target was scaled, as long as some policy asks for it.
    pub(super) fn scaled(
        &mut self,
        behavior: &HorizontalPodAutoscalerBehavior,
        (from, to): (i32, i32),
        now: Timestamp,
    ) {
        let (events, rules) = if to > from {
            (&mut self.ups, behavior.scale_up.as_ref())
        } else {
            (&mut self.downs, behavior.scale_down.as_ref())
        };
        let since = ago(now, longest_period(rules));
        events.retain(|(at, _)| *at >= since);
        events.push((now, to.saturating_sub(from).saturating_abs()));
    }

    /// How many replicas were there a period ago, by how many were added and taken since.
    pub(super) fn replicas_before(&self, current: i32, period: i32, now: Timestamp) -> i32 {
        let since = ago(now, period);
        let sum = |events: &[(Timestamp, i32)]| {
            let recent = events.iter().filter(|(at, _)| *at > since);
            recent.fold(0, |sum: i32, (_, change)| sum.saturating_add(*change))
        };
        current.saturating_sub(sum(&self.ups)).saturating_add(sum(&self.downs))
    }
}

fn longest_period(rules: Option<&HPAScalingRules>) -> i32 {
    let policies = rules.into_iter().flat_map(|rules| rules.policies.iter().flatten());
    policies.map(|policy| policy.period_seconds).max().unwrap_or(0)
}

/// This many seconds before a time.
pub(super) fn ago(now: Timestamp, seconds: i32) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MIN)
}
