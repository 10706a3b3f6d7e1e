//! What behaviors let through: the examples of the documentation, minute by minute.

use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn behavior(up: &Value, down: &Value) -> HorizontalPodAutoscalerBehavior {
    serde_json::from_value(json!({"scaleUp": up, "scaleDown": down})).unwrap()
}

fn defaults() -> HorizontalPodAutoscalerBehavior {
    let up = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
        "policies": [policy("Pods", 4, 15), policy("Percent", 100, 15)],
    });
    behavior(&up, &json!({"selectPolicy": "Max", "policies": [policy("Percent", 100, 15)]}))
}

fn policy(type_: &str, value: i32, period: i32) -> Value {
    json!({"type": type_, "value": value, "periodSeconds": period})
}

/// An autoscaler with its target, and the time.
struct Scene {
    behavior: Option<HorizontalPodAutoscalerBehavior>,
    bounds: (i32, i32),
    memory: Memory,
    current: i32,
    now: Timestamp,
}

impl Scene {
    fn new(behavior: Option<HorizontalPodAutoscalerBehavior>, current: i32) -> Self {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut memory = Memory::default();
        memory.begin(current, now);
        Self { behavior, bounds: (1, 1000), memory, current, now }
    }

    /// Some seconds later something is recommended, and what is allowed of it is done.
    fn after(&mut self, seconds: i64, recommended: i32) -> Allowed {
        self.now += SignedDuration::from_secs(seconds);
        let (min, max) = self.bounds;
        let limits =
            Limits { min, max, behavior: self.behavior.as_ref(), downscale_window: 300, now: self.now };
        let allowed = limits.allow(&mut self.memory, self.current, recommended);
        if let Some(behavior) = self.behavior.as_ref().filter(|_| allowed.replicas != self.current) {
            self.memory.scaled(behavior, (self.current, allowed.replicas), self.now);
        }
        self.current = allowed.replicas;
        allowed
    }

    fn course(mut self, seconds: i64, recommended: i32, times: usize) -> Vec<i32> {
        (0..times).map(|_| self.after(seconds, recommended).replicas).collect()
    }
}

#[test]
fn down_waits_until_nothing_more_was_recommended_for_five_minutes() {
    for behavior in [None, Some(defaults())] {
        let mut scene = Scene::new(behavior, 10);
        for _ in 0..19 {
            let allowed = scene.after(15, 3);
            assert_eq!((allowed.replicas, allowed.stabilized.0), (10, "ScaleDownStabilized"));
        }
        let allowed = scene.after(30, 3);
        assert_eq!(
            (allowed.replicas, allowed.stabilized.0, allowed.is_limited),
            (3, "ReadyForNewScale", false)
        );
    }
}

#[rstest]
#[case::a_few(1, 100, &[5, 10, 20, 40, 80, 100])]
#[case::many(10, 100, &[20, 40, 80, 100])]
fn up_goes_by_four_or_twice_as_many(#[case] from: i32, #[case] to: i32, #[case] course: &[i32]) {
    assert_eq!(Scene::new(Some(defaults()), from).course(15, to, course.len()), course);
}

#[test]
fn without_a_behavior_up_goes_to_four_or_twice_as_many() {
    assert_eq!(Scene::new(None, 1).course(15, 100, 6), [4, 8, 16, 32, 64, 100]);
    let allowed = Scene::new(None, 1).after(15, 100);
    assert_eq!((allowed.is_limited, allowed.limited.0), (true, "ScaleUpLimit"));
}

#[test]
fn of_two_policies_the_larger_change_counts() {
    let down = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
        "policies": [policy("Pods", 4, 60), policy("Percent", 10, 60)],
    });
    let scene = Scene::new(Some(behavior(&json!({}), &down)), 80);
    assert_eq!(scene.course(60, 10, 9), [72, 64, 57, 51, 45, 40, 36, 32, 28]);
}

#[test]
fn of_two_policies_the_smaller_change_counts_if_asked_for() {
    let down = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Min",
        "policies": [policy("Percent", 10, 60), policy("Pods", 5, 60)],
    });
    let scene = Scene::new(Some(behavior(&json!({}), &down)), 80);
    assert_eq!(scene.course(60, 10, 4), [75, 70, 65, 60]);
}

#[test]
fn a_period_counts_what_was_done_within_it() {
    let up =
        json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [policy("Pods", 6, 60)]});
    let mut scene = Scene::new(Some(behavior(&up, &json!({"selectPolicy": "Max"}))), 10);
    assert_eq!(scene.after(15, 14).replicas, 14);
    let allowed = scene.after(15, 100);
    assert_eq!((allowed.replicas, allowed.limited.0), (16, "ScaleUpLimit"));
    assert_eq!(scene.after(15, 100).replicas, 16);
    assert_eq!(scene.after(30, 100).replicas, 20, "what was done first is over a minute ago");
}

#[test]
fn a_direction_that_is_disabled_is_none() {
    let down = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"});
    let allowed = Scene::new(Some(behavior(&json!({}), &down)), 80).after(15, 10);
    assert_eq!((allowed.replicas, allowed.is_limited, allowed.limited.0), (80, true, "ScaleDownLimit"));
}

#[test]
fn up_may_wait_as_well() {
    let up = json!({"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [policy("Percent", 900, 15)]});
    let mut scene = Scene::new(Some(behavior(&up, &json!({"selectPolicy": "Max"}))), 2);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let allowed = scene.after(15, 8);
        waiting.push((allowed.replicas, allowed.stabilized.0));
    }
    assert_eq!(waiting, [(2, "ScaleUpStabilized"); 3]);
    assert_eq!(scene.after(15, 6).replicas, 6, "the lowest of the last minute");
}

#[rstest]
#[case::too_many(20, (1, 8), 8, "TooManyReplicas")]
#[case::too_few(1, (3, 8), 3, "TooFewReplicas")]
#[case::within(6, (3, 8), 6, "DesiredWithinRange")]
fn the_bounds_hold(
    #[case] recommended: i32,
    #[case] bounds: (i32, i32),
    #[case] expected: i32,
    #[case] reason: &str,
) {
    for behavior in [None, Some(defaults())] {
        let mut scene = Scene { bounds, ..Scene::new(behavior, 5) };
        scene.after(0, 5);
        let allowed = scene.after(301, recommended);
        assert_eq!((allowed.replicas, allowed.limited.0), (expected, reason));
        assert_eq!(allowed.is_limited, expected != recommended);
    }
}
