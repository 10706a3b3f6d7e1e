//! How many replicas a measurement asks for: the cases of the documentation, and what Pods that are not ready, gone or
//! not measured do to it.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::autoscaler::samples::Sample;
use jiff::SignedDuration;

const NOW: &str = "2026-01-01T01:00:00Z";

/// A Pod that asks for one processor. `ready`, `unready`: since long ago; `warm`: ready, but within the time that its
/// start may take; `fresh`: ready for less than a window; `fallen`: not ready any more; `pending`, `failed`, `going`.
fn pod(index: usize, state: &str) -> Arc<Pod> {
    let (status, started, changed) = match state {
        "unready" => ("False", "00:00:00", "00:00:10"),
        "warm" => ("True", "00:57:00", "00:57:05"),
        "fresh" => ("True", "00:57:00", "00:59:50"),
        "fallen" => ("False", "00:00:00", "00:50:00"),
        _ => ("True", "00:00:00", "00:00:10"),
    };
    let phase = match state {
        "pending" => "Pending",
        "failed" => "Failed",
        _ => "Running",
    };
    let at = |time: &str| format!("2026-01-01T{time}Z");
    let ready = json!({"type": "Ready", "status": status, "lastTransitionTime": at(changed)});
    let mut pod = json!({
        "metadata": {"name": format!("pod-{index}")},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1"}}}]},
        "status": {"phase": phase, "startTime": at(started), "conditions": [ready]},
    });
    if state == "going" {
        pod["metadata"]["deletionTimestamp"] = json!(NOW);
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn pods(states: &[&str]) -> Vec<Arc<Pod>> {
    states.iter().enumerate().map(|(index, state)| pod(index, state)).collect()
}

/// What was measured of the Pods; of those with a negative value nothing was.
fn samples(values: &[i64]) -> Samples {
    let measured = values.iter().enumerate().filter(|(_, milli)| **milli >= 0);
    let sample = |milli| Sample { at: NOW.parse().unwrap(), window: SignedDuration::from_secs(60), milli };
    measured.map(|(index, milli)| (format!("pod-{index}"), sample(*milli))).collect()
}

fn world<'a>(wanted: i32, pods: &'a [Arc<Pod>], options: &'a Autoscaling) -> World<'a> {
    let tolerances = Tolerances { down: 0.1, up: 0.1 };
    World { namespace: "n", wanted, observed: wanted, pods, tolerances, options, now: NOW.parse().unwrap() }
}

#[rstest]
#[case::twice_as_much_is_used(&["ready"; 2], &[200, 200], 10, 2, (4, 20))]
#[case::half_as_much_is_used(&["ready"; 4], &[50; 4], 10, 4, (2, 5))]
#[case::up(&["ready"; 3], &[300, 500, 700], 30, 3, (5, 50))]
#[case::down(&["ready"; 5], &[100, 300, 500, 250, 250], 50, 5, (3, 28))]
#[case::within_the_tolerance(&["ready"; 3], &[1010, 1030, 1020], 100, 3, (3, 102))]
#[case::up_less_with_one_that_never_was_ready(&["unready", "ready", "ready"], &[300, 500, 700], 30, 3, (4, 60))]
#[case::up_less_with_one_that_is_pending(&["pending", "ready", "ready"], &[-1, 500, 700], 30, 3, (4, 60))]
#[case::up_less_with_one_that_just_started(&["fresh", "ready", "ready"], &[300, 500, 700], 30, 3, (4, 60))]
#[case::no_less_with_one_measured_since_its_start(&["warm", "ready", "ready"], &[300, 500, 700], 30, 3, (5, 50))]
#[case::no_less_with_one_that_once_was_ready(&["fallen", "ready", "ready"], &[300, 500, 700], 30, 3, (5, 50))]
#[case::not_up_if_the_others_have_room(&["ready", "unready", "unready"], &[400, 500, 700], 30, 3, (3, 40))]
#[case::failed_ones_do_not_count(&["ready", "ready", "failed", "failed"], &[500, 700, -1, -1], 30, 2, (4, 60))]
#[case::nor_do_those_that_go(&["ready", "ready", "going"], &[500, 700, 9000], 30, 2, (4, 60))]
#[case::down_does_not_wait_for_the_unready(&["ready", "ready", "unready"], &[100, 100, 900], 50, 3, (1, 10))]
#[case::up_takes_the_unmeasured_for_idle(&["ready"; 2], &[1000, -1], 50, 2, (2, 100))]
#[case::down_takes_the_unmeasured_for_busy(&["ready"; 2], &[600, -1], 100, 2, (2, 60))]
#[case::down_though_some_are_unmeasured(&["ready"; 4], &[100, 100, 100, -1], 100, 4, (2, 10))]
#[case::a_guess_turns_nothing_round(&["ready"; 4], &[400, -1, -1, -1], 50, 4, (4, 40))]
#[case::nothing_is_used(&["ready"; 4], &[0; 4], 50, 4, (0, 0))]
fn utilization_asks_for(
    #[case] states: &[&str],
    #[case] values: &[i64],
    #[case] target: i32,
    #[case] wanted: i32,
    #[case] expected: (i32, i32),
) {
    let (pods, options) = (pods(states), Autoscaling::default());
    let found = world(wanted, &pods, &options).by_utilization(&samples(values), ("cpu", None), target);
    assert_eq!(found.map(|(replicas, usage)| (replicas, usage.percent)), Ok(expected));
}

#[test]
fn whoever_was_not_measured_uses_what_is_wanted_if_that_is_more_than_all() {
    let (pods, options) = (pods(&["ready"; 2]), Autoscaling::default());
    let found = world(2, &pods, &options).by_utilization(&samples(&[1500, -1]), ("cpu", None), 300);
    assert_eq!(found.map(|(replicas, usage)| (replicas, usage.percent)), Ok((2, 150)));
}

#[test]
fn only_the_use_of_processors_is_that_of_a_start() {
    let (pods, options) = (pods(&["unready", "ready", "ready"]), Autoscaling::default());
    let found = world(3, &pods, &options).by_utilization(&samples(&[300, 500, 700]), ("memory", None), 30);
    assert_eq!(found.map(|(replicas, _)| replicas), Ok(5));
}

#[rstest]
#[case::up(&["ready"; 3], &[20_000, 10_000, 30_000], 15_000, 3, (4, 20_000))]
#[case::up_with_the_unready(&["unready", "ready", "unready"], &[50_000, 10_000, 30_000], 15_000, 3, (6, 30_000))]
#[case::up_less_with_one_that_is_pending(&["ready", "ready", "pending"], &[30_000, 30_000, -1], 15_000, 3, (4, 30_000))]
#[case::down(&["ready"; 5], &[12_000; 5], 20_000, 5, (3, 12_000))]
#[case::down_takes_the_unmeasured_for_what_is_wanted(&["ready"; 4], &[2_000, 2_000, -1, -1], 10_000, 4, (3, 2_000))]
#[case::within_the_tolerance(&["ready"; 3], &[20_000, 21_000, 21_000], 20_000, 3, (3, 20_666))]
fn an_average_asks_for(
    #[case] states: &[&str],
    #[case] values: &[i64],
    #[case] target: i64,
    #[case] wanted: i32,
    #[case] expected: (i32, i64),
) {
    let (pods, options) = (pods(states), Autoscaling::default());
    let found = world(wanted, &pods, &options).by_average(&samples(values), "", target);
    assert_eq!(found, Ok(expected));
}

#[rstest]
#[case::up(&["ready"; 3], 20_000, 15_000, 4)]
#[case::up_by_those_that_are_ready(&["ready", "unready", "ready"], 40_000, 15_000, 6)]
#[case::down(&["ready"; 5], 8_600, 14_334, 3)]
#[case::within_the_tolerance(&["ready"; 3], 8_600, 8_888, 3)]
#[case::more_than_can_be_counted(&["ready"; 3], i64::MAX, 1, i32::MAX)]
fn a_whole_asks_for(#[case] states: &[&str], #[case] usage: i64, #[case] target: i64, #[case] expected: i32) {
    let (pods, options) = (pods(states), Autoscaling::default());
    let wanted = i32::try_from(pods.len()).unwrap();
    assert_eq!(world(wanted, &pods, &options).by_whole(usage, target), Ok(expected));
}

#[rstest]
#[case::up(3, 8_600, 2_150, 4, 2_867)]
#[case::down(5, 8_600, 2_867, 3, 1_720)]
#[case::within_the_tolerance(3, 8_600, 2_900, 3, 2_867)]
#[case::to_nothing(3, 0, 2_900, 0, 0)]
fn a_share_asks_for(
    #[case] observed: i32,
    #[case] usage: i64,
    #[case] target: i64,
    #[case] expected: i32,
    #[case] average: i64,
) {
    let options = Autoscaling::default();
    assert_eq!(world(observed, &[], &options).by_share(usage, target), (expected, average));
}

#[rstest]
#[case::nobody(&[], &[], "no pods returned by selector while calculating replica count")]
#[case::nobody_is_ready(
    &["unready"], &[100], "did not receive metrics for targeted pods (pods might be unready)"
)]
fn what_cannot_be_told(#[case] states: &[&str], #[case] values: &[i64], #[case] why: &str) {
    let (pods, options) = (pods(states), Autoscaling::default());
    let world = world(1, &pods, &options);
    assert_eq!(world.by_utilization(&samples(values), ("cpu", None), 50).unwrap_err(), why);
}

#[test]
fn requests_are_those_of_a_container_or_of_all_or_of_the_pod() {
    let of = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let mut pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{"name": "a", "resources": of("1")}, {"name": "b", "resources": of("500m")}],
            "initContainers": [
                {"name": "once", "resources": of("9")},
                {"name": "beside", "restartPolicy": "Always", "resources": of("250m")},
            ],
        },
    });
    let ask = |pod: &serde_json::Value, resource, container| {
        let pods = [Arc::new(serde_json::from_value::<Pod>(pod.clone()).unwrap())];
        requests(&pods, resource, container).map(|found| found["p"])
    };
    assert_eq!(ask(&pod, "cpu", None), Ok(1750));
    assert_eq!(ask(&pod, "cpu", Some("b")), Ok(500));
    assert_eq!(ask(&pod, "cpu", Some("once")), Err("container once not found in Pod p".to_owned()));
    let missing = "missing request for memory in container a of Pod p".to_owned();
    assert_eq!(ask(&pod, "memory", None), Err(missing));
    pod["spec"]["resources"] = of("3");
    assert_eq!(ask(&pod, "cpu", None), Ok(3000));
    assert_eq!(ask(&pod, "cpu", Some("b")), Ok(500));
    assert_eq!(ask(&pod, "memory", None), Err("missing pod-level request for memory in Pod p".to_owned()));
}
