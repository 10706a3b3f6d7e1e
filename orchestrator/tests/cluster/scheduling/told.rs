//! What the scheduler tells: events, and metrics.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use serde_json::json;

use super::{FOO, pod};
use crate::support::Cluster;

/// Type, reason, component and message of the events about a Pod.
async fn events(cluster: &Cluster, about: &str, reason: &str) -> Vec<(String, String, String)> {
    let is = |event: &Event| {
        event.involved_object.name.as_deref() == Some(about) && event.reason.as_deref() == Some(reason)
    };
    let found = cluster.until_all::<Event>("", |events| events.iter().any(|event| is(event))).await;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let told = found
        .iter()
        .filter(|event| is(event))
        .map(|event| (text(&event.type_), text(&event.reporting_component), text(&event.message)));
    told.collect()
}

fn told(type_: &str, message: &str) -> Vec<(String, String, String)> {
    vec![(type_.to_owned(), "default-scheduler".to_owned(), message.to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_say_what_became_of_a_pod() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.give_foo("node-0", "1").await;
    cluster.priority("high", 1_000).await;
    cluster.run(pod("first", (FOO, "1"), json!({}))).await;
    assert_eq!(
        events(&cluster, "first", "Scheduled").await,
        told("Normal", "Successfully assigned test/first to node-0")
    );
    let refusal = cluster.refused(pod("second", (FOO, "1"), json!({}))).await;
    assert_eq!(events(&cluster, "second", "FailedScheduling").await, told("Warning", &refusal));
    cluster.run(pod("third", (FOO, "1"), json!({"priorityClassName": "high"}))).await;
    let third = cluster.get::<Pod>("third").await.uid().unwrap();
    assert_eq!(
        events(&cluster, "first", "Preempted").await,
        told("Normal", &format!("Preempted by pod {third} on node node-0"))
    );
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_the_scheduler_does() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.give_foo("node-0", "1").await;
    cluster.run(pod("first", (FOO, "1"), json!({}))).await;
    cluster.refused(pod("second", (FOO, "1"), json!({}))).await;
    let page = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let page = cluster.client.request_text(page).await.unwrap();
    let value = |name: &str| {
        let line =
            page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let profile = "profile=\"default-scheduler\"";
    let at_least_one = [
        format!("scheduler_schedule_attempts_total{{{profile},result=\"scheduled\"}}"),
        format!("scheduler_schedule_attempts_total{{{profile},result=\"unschedulable\"}}"),
        format!("scheduler_scheduling_attempt_duration_seconds_count{{{profile},result=\"scheduled\"}}"),
        "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"}".to_owned(),
        "scheduler_queue_incoming_pods_total{event=\"PodAdd\",queue=\"active\"}".to_owned(),
        "scheduler_preemption_attempts_total".to_owned(),
    ];
    for name in at_least_one {
        assert!(value(&name) >= 1.0, "{name} in {page}");
    }
    assert!((value("scheduler_pending_pods{queue=\"unschedulable\"}") - 1.0).abs() < f64::EPSILON, "{page}");
    assert!((value("scheduler_unschedulable_pods{plugin=\"NodeResourcesFit\"}") - 1.0).abs() < f64::EPSILON);
    cluster.plane.shutdown().await;
}
