//! What metrics say, in upstream's words.

use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::autoscaler::calculate::Tolerances;
use crate::autoscaler::config::Autoscaling;
use crate::autoscaler::samples::Sample;

fn spec(spec: Value) -> MetricSpec {
    serde_json::from_value(spec).unwrap()
}

fn proposed(metric: &MetricSpec, measured: Result<Measured, String>) -> Result<Proposal, Failure> {
    let pod = |name: &str| {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "1"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        std::sync::Arc::new(serde_json::from_value(pod).unwrap())
    };
    let options = Autoscaling::default();
    let world = World {
        namespace: "shop",
        wanted: 2,
        observed: 2,
        pods: &[pod("a"), pod("b")],
        tolerances: Tolerances { down: 0.1, up: 0.1 },
        options: &options,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    propose(metric, measured, &world)
}

fn of_pods(milli: i64) -> Measured {
    let sample = Sample { at: jiff::Timestamp::UNIX_EPOCH, window: SignedDuration::ZERO, milli };
    Measured::Pods(["a", "b"].map(|name| (name.to_owned(), sample)).into())
}

fn resource(target: &Value) -> MetricSpec {
    spec(json!({"type": "Resource", "resource": {"name": "memory", "target": target}}))
}

fn object(target: &Value) -> MetricSpec {
    let described = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"});
    let source = json!({"describedObject": described, "metric": {"name": "rate"}, "target": target});
    spec(json!({"type": "Object", "object": source}))
}

fn external(target: &Value) -> MetricSpec {
    let selector = json!({
        "matchLabels": {"queue": "tasks"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
    });
    let metric = json!({"name": "ready", "selector": selector});
    spec(json!({"type": "External", "external": {"metric": metric, "target": target}}))
}

const SHOWN: &str = "&LabelSelector{MatchLabels:map[string]string{queue: tasks,},MatchExpressions:\
                     []LabelSelectorRequirement{LabelSelectorRequirement{Key:tier,Operator:In,Values:[a b],},},}";

#[test]
fn every_source_has_its_name_and_its_status() {
    let value = json!({"type": "Value", "value": "1"});
    let shared = json!({"type": "AverageValue", "averageValue": "1"});
    let utilization = json!({"type": "Utilization", "averageUtilization": 50});
    let container = json!({"name": "memory", "container": "c", "target": utilization});
    let container = spec(json!({"type": "ContainerResource", "containerResource": container}));
    let pods = spec(json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": shared}}));
    let whole = || Ok(Measured::Whole(3000));
    let ready = format!("external metric ready({SHOWN})");
    let cases = [
        (resource(&utilization), Ok(of_pods(1000)), 4, "memory resource utilization (percentage of request)"),
        (resource(&shared), Ok(of_pods(1500)), 3, "memory resource"),
        (container, Ok(of_pods(1000)), 4, "memory container resource utilization (percentage of request)"),
        (pods, Ok(of_pods(1500)), 3, "pods metric hits"),
        (object(&value), whole(), 6, "Ingress metric rate"),
        (object(&shared), whole(), 3, "external metric rate(nil)"),
        (external(&value), whole(), 6, ready.as_str()),
        (external(&shared), whole(), 3, ready.as_str()),
    ];
    for (spec, measured, replicas, name) in cases {
        let found = proposed(&spec, measured).unwrap();
        assert_eq!((found.replicas, found.name.as_str(), &found.status.type_), (replicas, name, &spec.type_));
    }
}

#[test]
fn a_status_tells_what_is_used_now() {
    let current = |spec: &MetricSpec, measured| {
        let status = serde_json::to_value(proposed(spec, measured).unwrap().status).unwrap();
        let source = status.as_object().unwrap().iter().find(|(name, _)| *name != "type").unwrap();
        source.1["current"].clone()
    };
    let utilization = resource(&json!({"type": "Utilization", "averageUtilization": 50}));
    assert_eq!(
        current(&utilization, Ok(of_pods(1500))),
        json!({"averageUtilization": 150, "averageValue": "1500m"})
    );
    let value = external(&json!({"type": "Value", "value": "1"}));
    assert_eq!(current(&value, Ok(Measured::Whole(3000))), json!({"value": "3"}));
    let shared = object(&json!({"type": "AverageValue", "averageValue": "1"}));
    assert_eq!(current(&shared, Ok(Measured::Whole(3000))), json!({"averageValue": "1500m"}));
}

#[rstest]
#[case::utilization(
    resource(&json!({"type": "Utilization", "averageUtilization": 50})), "FailedGetResourceMetric",
    "failed to get memory utilization: unable to get metrics for resource memory: W", "failed to get memory resource metric value: "
)]
#[case::usage(
    resource(&json!({"type": "AverageValue", "averageValue": "5"})), "FailedGetResourceMetric",
    "failed to get memory usage: unable to get metrics for resource memory: W", "failed to get memory resource metric value: "
)]
#[case::object(
    object(&json!({"type": "Value", "value": "5"})), "FailedGetObjectMetric",
    "unable to get metric rate: Ingress on shop main/W", "failed to get object metric value: "
)]
#[case::shared_object(
    object(&json!({"type": "AverageValue", "averageValue": "5"})), "FailedGetObjectMetric",
    "unable to get metric rate: Ingress on shop main/W", "failed to get object metric value: failed to get rate object metric: "
)]
fn a_source_that_fails_is_told(
    #[case] metric: MetricSpec,
    #[case] reason: &str,
    #[case] message: &str,
    #[case] before: &str,
) {
    let failure = proposed(&metric, Err("W".to_owned())).unwrap_err();
    assert_eq!((failure.reason, failure.message.as_str()), (reason, message));
    assert_eq!(failure.error, format!("{before}{message}"));
}

#[test]
fn an_external_source_that_fails_is_told_with_its_selector() {
    let metric = external(&json!({"type": "Value", "value": "5"}));
    let failure = proposed(&metric, Err("W".to_owned())).unwrap_err();
    assert_eq!(failure.message, format!("unable to get external metric shop/ready/{SHOWN}: W"));
    let before = "failed to get ready external metric value: failed to get external metric ready: ";
    assert_eq!(failure.error, format!("{before}{}", failure.message));
}
