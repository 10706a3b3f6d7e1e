//! From what is recommended to what may be done: stabilization, rates of change, and the bounds of the autoscaler.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

use super::calculate::ceil;
use super::memory::{Memory, ago};

/// Without a behavior: how much more may be added at once, as a factor and at least.
const LARGEST_FACTOR: i32 = 2;
const LEAST_GROWTH: i32 = 4;

/// Why something was or was not done: the reason of a condition, and its message.
pub(super) type Why = (&'static str, &'static str);

const WITHIN: Why = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: Why = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Why = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_FAST_UP: Why =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Why =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const READY: Why = ("ReadyForNewScale", "recommended size matches current size");
const STABILIZED_UP: Why = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const STABILIZED_DOWN: Why = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

/// What holds an autoscaler back.
pub(super) struct Limits<'a> {
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) behavior: Option<&'a HorizontalPodAutoscalerBehavior>,
    /// For how many seconds a higher recommendation counts where nobody says.
    pub(super) downscale_window: i32,
    pub(super) now: Timestamp,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) replicas: i32,
    /// What is said of earlier recommendations.
    pub(super) stabilized: Why,
    /// Whether the bounds or the rates hold it back, and what is said of that.
    pub(super) is_limited: bool,
    pub(super) limited: Why,
}

impl Limits<'_> {
    /// What may be done of what is recommended now; the recommendation is remembered.
    pub(super) fn allow(&self, memory: &mut Memory, current: i32, recommended: i32) -> Allowed {
        let (stable, stabilized) = match self.behavior {
            None => self.stabilize_down(memory, recommended),
            Some(behavior) => self.stabilize(behavior, memory, current, recommended),
        };
        let (replicas, limited) = match self.behavior {
            None => self.bound(current, stable),
            Some(behavior) => self.bound_rates(behavior, memory, current, stable),
        };
        let stabilized = if stable == recommended { READY } else { stabilized };
        Allowed { replicas, stabilized, is_limited: replicas != stable, limited }
    }

    fn stabilize_down(&self, memory: &mut Memory, recommended: i32) -> (i32, Why) {
        let since = ago(self.now, self.downscale_window);
        let recent = memory.recommendations().filter(|(at, _)| *at >= since);
        let highest = recent.map(|(_, replicas)| replicas).fold(recommended, i32::max);
        memory.recommend(recommended, self.now, since);
        (highest, STABILIZED_DOWN)
    }

    fn stabilize(
        &self,
        behavior: &HorizontalPodAutoscalerBehavior,
        memory: &mut Memory,
        current: i32,
        recommended: i32,
    ) -> (i32, Why) {
        let window =
            |rules: Option<&HPAScalingRules>| rules.and_then(|rules| rules.stabilization_window_seconds);
        let up = ago(self.now, window(behavior.scale_up.as_ref()).unwrap_or(0));
        let down = ago(self.now, window(behavior.scale_down.as_ref()).unwrap_or(self.downscale_window));
        let recent = |since: Timestamp| memory.recommendations().filter(move |(at, _)| *at > since);
        let lowest = recent(up).map(|(_, replicas)| replicas).fold(recommended, i32::min);
        let highest = recent(down).map(|(_, replicas)| replicas).fold(recommended, i32::max);
        memory.recommend(recommended, self.now, up.min(down));
        let why = if recommended >= current { STABILIZED_UP } else { STABILIZED_DOWN };
        (current.max(lowest).min(highest), why)
    }

    fn bound(&self, current: i32, wanted: i32) -> (i32, Why) {
        let fastest = current.saturating_mul(LARGEST_FACTOR).max(LEAST_GROWTH);
        let (most, why) = if self.max > fastest { (fastest, TOO_FAST_UP) } else { (self.max, TOO_MANY) };
        if wanted < self.min {
            (self.min, TOO_FEW)
        } else if wanted > most {
            (most, why)
        } else {
            (wanted, WITHIN)
        }
    }

    fn bound_rates(
        &self,
        behavior: &HorizontalPodAutoscalerBehavior,
        memory: &Memory,
        current: i32,
        wanted: i32,
    ) -> (i32, Why) {
        if wanted > current {
            let fastest = self.fastest(behavior.scale_up.as_ref(), memory, current, true).max(current);
            let (most, why) = if self.max > fastest { (fastest, TOO_FAST_UP) } else { (self.max, TOO_MANY) };
            if wanted > most {
                return (most, why);
            }
        } else if wanted < current {
            let fastest = self.fastest(behavior.scale_down.as_ref(), memory, current, false).min(current);
            let (least, why) =
                if self.min < fastest { (fastest, TOO_FAST_DOWN) } else { (self.min, TOO_FEW) };
            if wanted < least {
                return (least, why);
            }
        }
        (wanted, WITHIN)
    }

    /// How far the policies let the number go up, or down.
    fn fastest(&self, rules: Option<&HPAScalingRules>, memory: &Memory, current: i32, up: bool) -> i32 {
        let select = rules.and_then(|rules| rules.select_policy.as_deref()).unwrap_or("Max");
        if select == "Disabled" {
            return current;
        }
        let policies = rules.into_iter().flat_map(|rules| rules.policies.iter().flatten());
        let proposed = policies.map(|policy| {
            let before = memory.replicas_before(current, policy.period_seconds, self.now);
            match (policy.type_.as_str(), up) {
                ("Percent", true) => ceil(f64::from(before) * (1.0 + f64::from(policy.value) / 100.0)),
                ("Percent", false) => truncated(f64::from(before) * (1.0 - f64::from(policy.value) / 100.0)),
                (_, true) => before.saturating_add(policy.value),
                (_, false) => before.saturating_sub(policy.value),
            }
        });
        // The largest change is the highest number on the way up, and the lowest on the way down.
        let found = if (select == "Min") == up { proposed.min() } else { proposed.max() };
        found.unwrap_or(if up { i32::MIN } else { i32::MAX })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is too large becomes the largest")]
fn truncated(value: f64) -> i32 {
    value as i32
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
