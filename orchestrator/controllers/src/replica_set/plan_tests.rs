//! Tests of the ReplicaSet's plan, ranking and status.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus, PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use rstest::rstest;

use super::*;
use crate::objects::pod_control::Failure;
use crate::replica_set::status::{next_available, status};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn set(replicas: i32) -> ReplicaSet {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec::default()),
    };
    let spec =
        ReplicaSetSpec { replicas: Some(replicas), template: Some(template), ..ReplicaSetSpec::default() };
    let metadata = ObjectMeta {
        name: Some("web-1".into()),
        namespace: Some("ns".into()),
        uid: Some("set".into()),
        generation: Some(4),
        ..ObjectMeta::default()
    };
    ReplicaSet { metadata, spec: Some(spec), status: None }
}

/// A Pod by a word for its state: `new`, `placed`, `running`, `ready`, `failed`, `going`.
fn member(name: &str, state: &str, ready_for: u64) -> Arc<Pod> {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let mut metadata = ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() };
    if state == "going" {
        metadata.deletion_timestamp = Some(Time(now()));
    }
    let phase = match state {
        "new" | "placed" => "Pending",
        "failed" => "Failed",
        _ => "Running",
    };
    let since = now().checked_sub(Duration::from_secs(ready_for)).unwrap();
    let ready = (state == "ready").then(|| PodCondition {
        type_: "Ready".into(),
        status: "True".into(),
        last_transition_time: Some(Time(since)),
        ..PodCondition::default()
    });
    let spec = PodSpec { node_name: (state != "new").then(|| "node".into()), ..PodSpec::default() };
    let status = PodStatus {
        phase: Some(phase.into()),
        conditions: ready.map(|ready| vec![ready]),
        ..PodStatus::default()
    };
    Arc::new(Pod { metadata, spec: Some(spec), status: Some(status) })
}

#[rstest]
#[case::none_yet(3, &[], "create 3")]
#[case::some_missing(3, &["ready", "new"], "create 1")]
#[case::ended_and_going_do_not_count(2, &["ready", "failed", "going"], "create 1")]
#[case::enough(2, &["ready", "running"], "nothing")]
#[case::too_many(1, &["ready", "running", "new"], "delete p2 p1")]
#[case::none_wanted(0, &["ready"], "delete p0")]
#[case::only_so_many_at_once(9999, &[], "create 500")]
fn counts(#[case] replicas: i32, #[case] states: &[&str], #[case] expected: &str) {
    let pods: Vec<_> =
        states.iter().enumerate().map(|(index, state)| member(&format!("p{index}"), state, 60)).collect();
    let decided = match plan(&set(replicas), &pods, || pods.clone(), now()) {
        Decision::Nothing => "nothing".to_owned(),
        Decision::Create { count, .. } => format!("create {count}"),
        Decision::Delete(pods) => {
            let names = pods.iter().map(|pod| format!(" {}", pod.metadata.name.as_deref().unwrap()));
            format!("delete{}", names.collect::<String>())
        }
    };
    assert_eq!(decided, expected);
}

#[test]
fn a_set_being_deleted_creates_nothing() {
    let mut set = set(3);
    set.metadata.deletion_timestamp = Some(Time(now()));
    assert_eq!(plan(&set, &[], Vec::new, now()), Decision::Nothing);
}

#[test]
fn a_new_pod_is_owned_and_labelled() {
    let Decision::Create { pod, .. } = plan(&set(1), &[], Vec::new, now()) else {
        panic!("nothing was created")
    };
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("web-1-"));
    let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.uid.as_str(), owner.controller),
        ("ReplicaSet", "set", Some(true))
    );
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["app"], "web");
}

#[test]
fn the_cheapest_go_first() {
    let mut cheap = (*member("cheap", "ready", 600)).clone();
    let cost = ("controller.kubernetes.io/pod-deletion-cost".to_owned(), "-5".to_owned());
    cheap.metadata.annotations = Some(BTreeMap::from([cost]));
    let pods = vec![
        member("old", "ready", 500),
        member("young", "ready", 5),
        Arc::new(cheap),
        member("running", "running", 0),
        member("placed", "placed", 0),
        member("new", "new", 0),
    ];
    let names: Vec<_> =
        rank(pods.clone(), &pods, now()).iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
    assert_eq!(names, ["new", "placed", "running", "cheap", "young", "old"]);
}

#[test]
fn status_counts_what_is_there() {
    let mut set = set(3);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(30);
    let pods = [
        member("a", "ready", 40),
        member("b", "ready", 10),
        member("c", "new", 0),
        member("d", "going", 0),
        member("e", "failed", 0),
    ];
    let expected = ReplicaSetStatus {
        replicas: 3,
        fully_labeled_replicas: Some(3),
        ready_replicas: Some(2),
        available_replicas: Some(1),
        terminating_replicas: Some(1),
        observed_generation: Some(4),
        conditions: None,
    };
    assert_eq!(status(&set, &pods, None, now()), expected);
    assert_eq!(next_available(&set, &pods, now()), Some(Duration::from_secs(20)));
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let mut set = set(1);
    let failure = Failure { reason: "FailedCreate", message: "no".into() };
    let failed = status(&set, &[], Some(&failure), now());
    assert_eq!(failed.conditions.as_ref().unwrap()[0].reason.as_deref(), Some("FailedCreate"));
    set.status = Some(failed.clone());
    let later = now().checked_add(Duration::from_secs(9)).unwrap();
    assert_eq!(status(&set, &[], Some(&failure), later), failed, "a standing failure changes nothing");
    assert_eq!(status(&set, &[], None, later).conditions, None);
}

#[test]
fn those_beside_related_pods_go_first_and_ages_count_by_magnitude() {
    let on = |name: &str, node: &str, ready_for: u64| {
        let mut pod = (*member(name, "ready", ready_for)).clone();
        pod.metadata.uid = Some(name.into());
        pod.spec.as_mut().unwrap().node_name = Some(node.into());
        Arc::new(pod)
    };
    let pods = vec![on("alone", "quiet", 5), on("crowded", "busy", 500)];
    let related = [pods.clone(), vec![on("sibling", "busy", 500)]].concat();
    let names = |pods: Vec<Arc<Pod>>| -> Vec<_> {
        pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
    };
    assert_eq!(names(rank(pods, &related, now())), ["crowded", "alone"]);
    let pods = vec![on("b", "n", 1000), on("a", "n", 1001), on("c", "n", 10)];
    assert_eq!(names(rank(pods.clone(), &pods, now())), ["c", "a", "b"]);
}

#[test]
fn a_replication_controller_is_kept_by_the_same_rules() {
    let controller: ReplicationController = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "rc", "generation": 2},
        "spec": {"replicas": 2, "selector": {"app": "web"}, "template": {"metadata": {"labels": {"app": "web"}}}},
    }))
    .unwrap();
    let Decision::Create { count, pod } = plan(&controller, &[], Vec::new, now()) else { panic!() };
    assert_eq!(
        (count, pod.metadata.owner_references.unwrap()[0].kind.as_str()),
        (2, "ReplicationController")
    );
    let failure = Failure { reason: "FailedCreate", message: "no".into() };
    let pods = [member("a", "ready", 40), member("b", "going", 0)];
    let written = controller.with_status(status(&controller, &pods, Some(&failure), now()));
    let told = written.status.clone().unwrap();
    assert_eq!((told.replicas, told.ready_replicas, told.observed_generation), (1, Some(1), Some(2)));
    assert_eq!(told.conditions.unwrap()[0].reason.as_deref(), Some("FailedCreate"));
    let again = written.with_status(status(&written, &pods, Some(&failure), now()));
    assert_eq!(again, written, "what changes nothing is not written");
}
