//! What the metrics say together, and what is written of it.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn spec(more: &Value) -> HorizontalPodAutoscalerSpec {
    let mut spec =
        json!({"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 2, "maxReplicas": 10});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn asks(replicas: i32) -> Proposal {
    Proposal { replicas, name: format!("metric {replicas}"), status: MetricStatus::default() }
}

fn fails() -> Failure {
    let (message, error) = ("W".to_owned(), "failed to get cpu resource metric value: W".to_owned());
    Failure { reason: "FailedGetResourceMetric", message, error }
}

/// What becomes of five replicas, and the conditions as `type=status reason: message`.
fn judged(proposals: Vec<Result<Proposal, Failure>>) -> (Verdict, Vec<String>, Draft) {
    let (options, now) = (Autoscaling::default(), NOW.parse().unwrap());
    let spec = spec(&json!({}));
    let tolerances = tolerances(&spec, &options);
    let world =
        World { namespace: "n", wanted: 5, observed: 5, pods: &[], tolerances, options: &options, now };
    let mut draft = Draft::of(&HorizontalPodAutoscaler::default(), now);
    let mut memory = Memory::default();
    let verdict = verdict(&spec, proposals, &world, &mut memory, &mut draft);
    let conditions = draft.status.conditions.iter().flatten().map(|condition| {
        let (reason, message) = (condition.reason.as_deref().unwrap(), condition.message.as_deref().unwrap());
        format!("{}={} {reason}: {message}", condition.type_, condition.status)
    });
    (verdict, conditions.collect(), draft)
}

fn rescale(to: i32, reason: &str) -> Rescale {
    Rescale { to, reason: reason.to_owned() }
}

#[rstest]
#[case::off(0, Course::Disabled)]
#[case::below(1, Course::Bound(Rescale { to: 2, reason: "Current number of replicas below Spec.MinReplicas".to_owned() }))]
#[case::lowest(2, Course::Measure)]
#[case::highest(10, Course::Measure)]
#[case::above(11, Course::Bound(Rescale { to: 10, reason: "Current number of replicas above Spec.MaxReplicas".to_owned() }))]
fn the_number_of_replicas_alone_may_tell(#[case] current: i32, #[case] expected: Course) {
    assert_eq!(course(&spec(&json!({})), current), expected);
}

#[rstest]
#[case::the_highest_counts(vec![Ok(asks(6)), Ok(asks(8)), Ok(asks(7))], Some(rescale(8, "metric 8 above target")))]
#[case::all_are_below(vec![Ok(asks(3)), Ok(asks(4))], Some(rescale(4, "All metrics below target")))]
#[case::none_is_below_what_one_needs(vec![Ok(asks(3)), Ok(asks(5))], None)]
#[case::up_though_some_fail(vec![Err(fails()), Ok(asks(7))], Some(rescale(7, "metric 7 above target")))]
#[case::not_down_if_some_fail(vec![Ok(asks(3)), Err(fails())], None)]
#[case::nothing_if_all_fail(vec![Err(fails()), Err(fails())], None)]
#[case::no_more_than_the_most(vec![Ok(asks(70))], Some(rescale(10, "metric 70 above target")))]
#[case::no_less_than_the_least(vec![Ok(asks(0))], Some(rescale(2, "All metrics below target")))]
fn metrics_together_ask_for(
    #[case] proposals: Vec<Result<Proposal, Failure>>,
    #[case] expected: Option<Rescale>,
) {
    assert_eq!(judged(proposals).0.rescale, expected);
}

#[test]
fn what_is_done_is_told_in_conditions() {
    let (verdict, conditions, draft) = judged(vec![Ok(asks(7))]);
    assert_eq!(
        conditions,
        [
            "ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from metric 7",
            "AbleToScale=True ReadyForNewScale: recommended size matches current size",
            "ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range",
        ]
    );
    assert!(verdict.error.is_none() && draft.events.is_empty());
}

#[test]
fn a_metric_that_fails_is_told_once_for_itself_and_once_for_all() {
    let (verdict, conditions, draft) = judged(vec![Err(fails()), Ok(asks(3))]);
    assert!(verdict.is_stuck);
    assert_eq!(
        conditions,
        ["ScalingActive=False FailedGetResourceMetric: the HPA was unable to compute the replica count: W"]
    );
    assert_eq!(
        draft.events,
        [(crate::runtime::recorder::Severity::Warning, "FailedGetResourceMetric", "W".to_owned())]
    );
    let first = "first error is: failed to get cpu resource metric value: W";
    assert_eq!(verdict.error, Some(format!("invalid metrics (1 invalid out of 2), {first}")));
    assert_eq!(verdict.metrics.len(), 2);
}

#[test]
fn an_autoscaler_may_have_tolerances_of_its_own() {
    let behavior = json!({"behavior": {"scaleDown": {"tolerance": "50m"}, "scaleUp": {"tolerance": "0"}}});
    let options = Autoscaling::default();
    assert_eq!(tolerances(&spec(&behavior), &options), Tolerances { down: 0.05, up: 0.0 });
    let half = json!({"behavior": {"scaleUp": {"tolerance": "10m"}}});
    assert_eq!(tolerances(&spec(&half), &options), Tolerances { down: 0.1, up: 0.01 });
}

#[test]
fn a_condition_keeps_its_time_until_it_turns() {
    let mut draft = Draft::of(&HorizontalPodAutoscaler::default(), NOW.parse().unwrap());
    draft.set(ABLE_TO_SCALE, true, "A", "a");
    let autoscaler =
        HorizontalPodAutoscaler { status: Some(draft.status), ..HorizontalPodAutoscaler::default() };
    let mut draft = Draft::of(&autoscaler, "2026-01-01T00:01:00Z".parse().unwrap());
    let since = |draft: &Draft| {
        let conditions = draft.status.conditions.as_ref().unwrap();
        conditions[0].last_transition_time.as_ref().unwrap().0.to_string()
    };
    draft.set(ABLE_TO_SCALE, true, "B", "b");
    assert_eq!(since(&draft), NOW);
    draft.set(ABLE_TO_SCALE, false, "C", "c");
    assert_eq!(since(&draft), "2026-01-01T00:01:00Z");
}
