//! The status of a budget, from the Pods it is about and the scale of their owners. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::objects::intstr::scaled;
use crate::objects::pods::{is_ready, is_terminating};

/// How long after an eviction was allowed the Pod has to be seen to go.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: PodDisruptionBudgetStatus,
    /// The Pods that were to be evicted and are still there.
    pub(super) not_deleted: Vec<Arc<Pod>>,
    /// When to look again although nothing happened.
    pub(super) look_again: Option<Duration>,
}

/// Whether it matters how many Pods the owners want.
pub(super) fn asks_for_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// Counts; `scale` is the number of Pods that their owners want together.
pub(super) fn plan(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], scale: i32, now: Timestamp) -> Plan {
    let (expected, desired) = wanted(budget.spec.as_ref(), number(pods.len()), scale);
    let (disrupted, not_deleted, look_again) = disrupted(budget, pods, now);
    let is_healthy =
        |pod: &&Arc<Pod>| !is_terminating(pod) && !disrupted.contains_key(&pod.name_any()) && is_ready(pod);
    let healthy = number(pods.iter().filter(is_healthy).count());
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let before = budget.status.as_ref().and_then(|status| status.conditions.clone());
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted).filter(|disrupted| !disrupted.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: before,
    };
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    set_condition(&mut status, allowed > 0, (reason, ""), now);
    Plan { status, not_deleted, look_again }
}

/// The status when it cannot be told how many Pods there should be: no Pod may go.
pub(super) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    set_condition(&mut status, false, ("SyncFailed", why), now);
    status
}

/// How many Pods there should be, and how many of them healthy.
fn wanted(spec: Option<&PodDisruptionBudgetSpec>, found: i32, scale: i32) -> (i32, i32) {
    let Some(spec) = spec else { return (0, 0) };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (scale, (scale - scaled(most, scale, true)).max(0)),
        (None, Some(IntOrString::Int(least))) => (found, *least),
        (None, Some(least)) => (scale, scaled(least, scale, true)),
        (None, None) => (0, 0),
    }
}

type Disrupted = (BTreeMap<String, Time>, Vec<Arc<Pod>>, Option<Duration>);

/// Of the Pods whose eviction was allowed, those that are about to go, those that have not in time, and how long the next
/// one has.
fn disrupted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let noted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let (mut going, mut late, mut soonest) = (BTreeMap::new(), Vec::new(), None::<Duration>);
    for pod in pods.iter().filter(|pod| !is_terminating(pod)) {
        let Some(since) = noted.and_then(|noted| noted.get(&pod.name_any())) else { continue };
        let left = DELETION_TIMEOUT.saturating_sub(now.duration_since(since.0));
        match Duration::try_from(left) {
            Ok(left) => {
                going.insert(pod.name_any(), since.clone());
                // At the very end it is still in time.
                let left = left + Duration::from_millis(1);
                soonest = Some(soonest.map_or(left, |before| before.min(left)));
            }
            Err(_) => late.push(pod.clone()),
        }
    }
    (going, late, soonest)
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    allowed: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) {
    let wanted = Condition {
        type_: DISRUPTION_ALLOWED.to_owned(),
        status: if allowed { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: Time(now),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|condition| condition.type_ == DISRUPTION_ALLOWED) {
        None => conditions.push(wanted),
        Some(found) => {
            let since =
                if found.status == wanted.status { found.last_transition_time.clone() } else { Time(now) };
            *found = Condition { last_transition_time: since, ..wanted };
        }
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-03-01T10:00:00Z";

    fn budget(spec: &Value, status: &Value) -> PodDisruptionBudget {
        let metadata = json!({ "name": "b", "namespace": "ns", "generation": 3 });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
    }

    fn pods(ready: usize, others: usize) -> Vec<Arc<Pod>> {
        let pod = |at: usize, ready: bool| {
            let status = if ready { "True" } else { "False" };
            let pod = json!({
                "metadata": { "name": format!("p{at}"), "namespace": "ns" },
                "status": { "conditions": [{ "type": "Ready", "status": status }] },
            });
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        (0..ready + others).map(|at| pod(at, at < ready)).collect()
    }

    fn counts(plan: &Plan) -> [Option<i32>; 4] {
        let status = &plan.status;
        [status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed]
    }

    #[rstest]
    #[case::least(json!({"minAvailable": 2}), 3, 0, 5, [3, 2, 3, 1])]
    #[case::too_few(json!({"minAvailable": 3}), 2, 1, 5, [3, 3, 2, 0])]
    #[case::no_pods(json!({"minAvailable": 0}), 0, 0, 5, [0, 0, 0, 0])]
    #[case::least_percent_rounds_up(json!({"minAvailable": "50%"}), 5, 0, 5, [5, 3, 5, 2])]
    #[case::most(json!({"maxUnavailable": 1}), 5, 0, 5, [5, 4, 5, 1])]
    #[case::most_percent_rounds_up(json!({"maxUnavailable": "30%"}), 5, 0, 5, [5, 3, 5, 2])]
    #[case::most_beyond_all(json!({"maxUnavailable": 9}), 2, 0, 3, [3, 0, 2, 2])]
    #[case::neither(json!({}), 3, 0, 3, [0, 0, 3, 0])]
    fn disruptions_allowed(
        #[case] spec: Value,
        #[case] ready: usize,
        #[case] others: usize,
        #[case] scale: i32,
        #[case] wanted: [i32; 4],
    ) {
        let plan = plan(&budget(&spec, &json!({})), &pods(ready, others), scale, NOW.parse().unwrap());
        assert_eq!(counts(&plan), wanted.map(Some));
        let condition = &plan.status.conditions.as_ref().unwrap()[0];
        let told = if wanted[3] > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), told);
        assert_eq!((plan.status.observed_generation, condition.observed_generation), (Some(3), Some(3)));
    }

    #[test]
    fn what_is_about_to_go_is_not_healthy_unless_it_stays_too_long() {
        let noted = json!({"disruptedPods": {
            "p0": "2026-03-01T09:59:00Z", "p1": "2026-03-01T09:57:59Z", "gone": "2026-03-01T09:59:00Z",
        }});
        let plan = plan(&budget(&json!({"minAvailable": 1}), &noted), &pods(3, 0), 0, NOW.parse().unwrap());
        assert_eq!(counts(&plan), [Some(3), Some(1), Some(2), Some(1)]);
        let going: Vec<_> = plan.status.disrupted_pods.unwrap().into_keys().collect();
        assert_eq!((going, plan.not_deleted[0].name_any()), (vec!["p0".to_owned()], "p1".to_owned()));
        assert_eq!(plan.look_again.map(|after| after.as_secs()), Some(60));
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let (spec, now) = (json!({"minAvailable": 1}), NOW.parse::<Timestamp>().unwrap());
        let first = plan(&budget(&spec, &json!({})), &pods(2, 0), 0, now).status;
        let second =
            plan(&budget(&spec, &json!(first)), &pods(2, 0), 0, now + SignedDuration::from_secs(9)).status;
        assert_eq!(first, second);
        let failed = failed(&budget(&spec, &json!(first)), "why", now);
        assert_eq!((failed.disruptions_allowed, failed.current_healthy), (Some(0), Some(2)));
        assert_eq!(failed.conditions.unwrap()[0].reason, "SyncFailed");
    }
}
