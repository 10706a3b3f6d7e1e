//! What an autoscaler does next: pure.

use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerSpec, MetricStatus};

use super::calculate::{Tolerances, World};
use super::config::Autoscaling;
use super::draft::{ABLE_TO_SCALE, Draft, SCALING_ACTIVE, SCALING_LIMITED};
use super::limits::Limits;
use super::memory::Memory;
use super::proposal::{Failure, Proposal};

/// What is to be done, as far as the number of replicas alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing: the target was scaled to nothing by somebody else.
    Disabled,
    /// To get within the bounds.
    Bound(Rescale),
    /// What the metrics say.
    Measure,
}

/// Another number of replicas, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rescale {
    pub(super) to: i32,
    pub(super) reason: String,
}

/// The lowest number of replicas.
fn least(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

/// See [`Course`].
pub(super) fn course(spec: &HorizontalPodAutoscalerSpec, current: i32) -> Course {
    let bound = |to, field| {
        let reason = format!("Current number of replicas {field}");
        Course::Bound(Rescale { to, reason })
    };
    if current == 0 {
        Course::Disabled
    } else if current > spec.max_replicas {
        bound(spec.max_replicas, "above Spec.MaxReplicas")
    } else if current < least(spec) {
        bound(least(spec), "below Spec.MinReplicas")
    } else {
        Course::Measure
    }
}

/// How far metrics may be from their targets.
pub(super) fn tolerances(spec: &HorizontalPodAutoscalerSpec, options: &Autoscaling) -> Tolerances {
    let behavior = spec.behavior.as_ref();
    let of = |rules: Option<&HPAScalingRules>| {
        let own = rules
            .and_then(|rules| rules.tolerance.as_ref()?.0.parse::<wherry_api::quantity::Quantity>().ok());
        own.map_or(options.tolerance, fraction)
    };
    Tolerances {
        down: of(behavior.and_then(|behavior| behavior.scale_down.as_ref())),
        up: of(behavior.and_then(|behavior| behavior.scale_up.as_ref())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
fn fraction(quantity: wherry_api::quantity::Quantity) -> f64 {
    quantity.as_nanos() as f64 / 1e9
}

/// What all metrics say together.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Another number of replicas; nothing if there are as many as there should be, or if that cannot be told.
    pub(super) rescale: Option<Rescale>,
    pub(super) metrics: Vec<MetricStatus>,
    /// What some of the metrics failed by.
    pub(super) error: Option<String>,
    /// Whether that means that nothing can be said.
    pub(super) is_stuck: bool,
}

/// The highest number that some metric asks for, within the limits. Less is asked for only if every metric agrees.
pub(super) fn verdict(
    spec: &HorizontalPodAutoscalerSpec,
    proposals: Vec<Result<Proposal, Failure>>,
    world: &World<'_>,
    memory: &mut Memory,
    draft: &mut Draft,
) -> Verdict {
    let count = proposals.len();
    let (mut metrics, mut failures, mut best) = (Vec::new(), Vec::new(), None::<(i32, String)>);
    for proposal in proposals {
        match proposal {
            Ok(Proposal { replicas, name, status }) => {
                metrics.push(status);
                if best.as_ref().is_none_or(|(most, _)| *most == 0 || replicas > *most) {
                    best = Some((replicas, name));
                }
            }
            Err(failure) => {
                metrics.push(MetricStatus::default());
                draft.warn(failure.reason, failure.message.clone());
                failures.push(failure);
            }
        }
    }
    let error = failures.first().map(|first| {
        let failed = failures.len();
        format!("invalid metrics ({failed} invalid out of {count}), first error is: {}", first.error)
    });
    let best = best.filter(|(replicas, _)| failures.is_empty() || *replicas >= world.wanted);
    let Some((recommended, name)) = best else {
        if let Some(Failure { reason, message, .. }) = failures.first() {
            let message = format!("the HPA was unable to compute the replica count: {message}");
            draft.set(SCALING_ACTIVE, false, reason, message);
        }
        return Verdict { rescale: None, metrics, error, is_stuck: true };
    };
    let message = format!("the HPA was able to successfully calculate a replica count from {name}");
    draft.set(SCALING_ACTIVE, true, "ValidMetricFound", message);
    let to = limited(spec, recommended, world, memory, draft);
    let reason = match recommended {
        more if more > world.wanted => format!("{name} above target"),
        less if less < world.wanted => "All metrics below target".to_owned(),
        _ => String::new(),
    };
    let rescale = (to != world.wanted).then_some(Rescale { to, reason });
    Verdict { rescale, metrics, error, is_stuck: false }
}

fn limited(
    spec: &HorizontalPodAutoscalerSpec,
    recommended: i32,
    world: &World<'_>,
    memory: &mut Memory,
    draft: &mut Draft,
) -> i32 {
    let limits = Limits {
        min: least(spec),
        max: spec.max_replicas,
        behavior: spec.behavior.as_ref(),
        downscale_window: i32::try_from(world.options.downscale_stabilization.as_secs()).unwrap_or(i32::MAX),
        now: world.now,
    };
    let allowed = limits.allow(memory, world.wanted, recommended);
    draft.set(ABLE_TO_SCALE, true, allowed.stabilized.0, allowed.stabilized.1);
    draft.set(SCALING_LIMITED, allowed.is_limited, allowed.limited.0, allowed.limited.1);
    allowed.replicas
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
