//! Tests of single plans: what a StatefulSet in a given state needs next.

use std::collections::HashMap;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::objects::history::POD_REVISION;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

pub(super) fn set(replicas: i32, more: &Value) -> StatefulSet {
    let mut spec = json!({
        "replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let metadata = json!({"name": "web", "namespace": "ns", "uid": "set", "generation": 3});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

pub(super) fn revision(name: &str) -> Revision {
    let template = json!({"metadata": {"labels": {"app": "web", "of": name}}, "spec": {"containers": []}});
    Revision { name: name.to_owned(), template: serde_json::from_value(template).unwrap() }
}

/// A Pod in words: `1:ready`, `2:pending@old`; states are ready, fresh (ready for 5 s), running, pending, failed,
/// going (ready, being deleted).
pub(super) fn pod(set: &StatefulSet, words: &str) -> Arc<Pod> {
    let (words, of) = words.split_once('@').unwrap_or((words, "new"));
    let (ordinal, state) = words.split_once(':').unwrap();
    let mut pod = identity::new_pod(set, &revision(of).template, of, ordinal.parse().unwrap());
    pod.metadata.uid = Some(format!("pod-{ordinal}"));
    let phase = match state {
        "pending" => "Pending",
        "failed" => "Failed",
        _ => "Running",
    };
    let age = if state == "fresh" { 5 } else { 500 };
    let since = now().checked_sub(Duration::from_secs(age)).unwrap().to_string();
    let ready = if matches!(state, "ready" | "fresh" | "going") { "True" } else { "False" };
    let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
    pod.status = serde_json::from_value(json!({"phase": phase, "conditions": [ready]})).unwrap();
    if state == "going" {
        pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!(now().to_string())).unwrap());
    }
    Arc::new(pod)
}

type Claims = HashMap<String, Arc<PersistentVolumeClaim>>;

fn plan_of(set: &StatefulSet, words: &[&str], claims: &Claims) -> Plan {
    let pods: Vec<_> = words.iter().map(|words| pod(set, words)).collect();
    let (current, update) = (revision("old"), revision("new"));
    let claim = |name: &str| claims.get(name).cloned();
    plan(&World {
        set,
        current: &current,
        update: &update,
        collisions: 0,
        pods: &pods,
        claim: &claim,
        now: now(),
    })
}

fn words(plan: &Plan) -> String {
    let word = |action: &Action| match action {
        Action::Claim { claim, .. } => format!("claim {}", claim.name_any()),
        Action::Own { claim, owners } => {
            let kinds: Vec<_> = owners.iter().map(|owner| owner.kind.as_str()).collect();
            format!("own {} by [{}]", claim.name_any(), kinds.join(" "))
        }
        Action::Create(pod) => format!("create {}@{}", pod.name_any(), identity::revision(pod)),
        Action::Update(pod) => format!("update {}", pod.name_any()),
        Action::Delete(pod) => format!("delete {}", pod.name_any()),
    };
    let actions: Vec<_> = plan.steps.iter().flatten().flatten().map(word).collect();
    actions.join(", ")
}

fn parallel() -> Value {
    json!({"podManagementPolicy": "Parallel"})
}

fn partition(partition: i32) -> Value {
    json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}})
}

fn unavailable(limit: &Value) -> Value {
    json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": limit}}})
}

#[rstest]
#[case::first(3, json!({}), &[], "create web-0@new")]
#[case::waits_for_the_one_before(3, json!({}), &["0:pending"], "")]
#[case::next(3, json!({}), &["0:ready"], "create web-1@new")]
#[case::fills_a_gap_first(3, json!({}), &["0:ready", "2:ready"], "create web-1@new")]
#[case::waits_for_one_that_goes(2, json!({}), &["0:going", "1:ready"], "")]
#[case::replaces_what_failed(2, json!({}), &["0:failed", "1:ready"], "delete web-0")]
#[case::settled(2, json!({}), &["0:ready", "1:ready"], "")]
#[case::from_the_top_down(1, json!({}), &["0:ready", "1:ready", "2:ready"], "delete web-2")]
#[case::scaling_down_waits_for_the_rest(1, json!({}), &["0:running", "1:ready"], "")]
#[case::the_broken_one_may_go(1, json!({}), &["0:ready", "1:running"], "delete web-1")]
#[case::but_not_past_another(1, json!({}), &["0:ready", "1:running", "2:running"], "")]
#[case::ready_for_long_enough(2, json!({"minReadySeconds": 10}), &["0:fresh"], "")]
#[case::all_at_once(3, parallel(), &[], "create web-0@new, create web-1@new, create web-2@new")]
#[case::all_away_at_once(1, parallel(), &["0:pending", "1:ready", "2:running"], "delete web-2, delete web-1")]
#[case::starts_elsewhere(2, json!({"ordinals": {"start": 5}}), &["5:ready", "4:ready"], "create web-6@new")]
#[case::moves_to_another_start(1, json!({"ordinals": {"start": 5}}), &["5:ready", "0:ready"], "delete web-0")]
#[case::rolls_from_the_top(3, json!({}), &["0:ready@old", "1:ready@old", "2:ready@old"], "delete web-2")]
#[case::rolls_on(3, json!({}), &["0:ready@old", "1:ready@old", "2:ready"], "delete web-1")]
#[case::rolling_waits(3, json!({}), &["0:ready@old", "1:ready@old", "2:running"], "")]
#[case::partition_holds(3, partition(2), &["0:ready@old", "1:ready@old", "2:ready"], "")]
#[case::below_partition_the_old(3, partition(2), &["1:ready@old", "2:ready"], "create web-0@old")]
#[case::above_partition_the_new(3, partition(2), &["0:ready@old", "1:ready@old"], "create web-2@new")]
#[case::on_delete(2, json!({"updateStrategy": {"type": "OnDelete"}}), &["0:ready@old", "1:ready@old"], "")]
#[case::on_delete_makes_the_new(2, json!({"updateStrategy": {"type": "OnDelete"}}), &["0:ready@old"], "create web-1@new")]
#[case::two_at_once(4, unavailable(&json!(2)), &["0:ready@old", "1:ready@old", "2:ready@old", "3:ready@old"], "delete web-3, delete web-2")]
#[case::percent_rounds_down(4, unavailable(&json!("60%")), &["0:ready@old", "1:ready@old", "2:ready@old", "3:ready@old"], "delete web-3, delete web-2")]
#[case::at_least_one(2, unavailable(&json!("10%")), &["0:ready@old", "1:ready@old"], "delete web-1")]
fn next(#[case] replicas: i32, #[case] more: Value, #[case] pods: &[&str], #[case] expected: &str) {
    let plan = plan_of(&set(replicas, &more), pods, &Claims::new());
    assert_eq!(words(&plan), expected);
}

#[test]
fn what_serves_nobody_is_updated_at_once() {
    let pods = ["0:ready@old", "1:running@old", "2:ready@old"];
    let plan = plan_of(&set(3, &parallel()), &pods, &Claims::new());
    assert_eq!(words(&plan), "delete web-1");
}

#[test]
fn a_set_being_deleted_only_counts() {
    let mut set = set(3, &json!({}));
    set.metadata.deletion_timestamp = Some(serde_json::from_value(json!(now().to_string())).unwrap());
    let plan = plan_of(&set, &["0:ready"], &Claims::new());
    assert_eq!((words(&plan).as_str(), plan.status.replicas), ("", 1));
}

#[test]
fn the_status_tells_of_both_revisions() {
    let plan = plan_of(
        &set(3, &json!({"minReadySeconds": 10})),
        &["0:ready@old", "1:fresh@old", "2:ready"],
        &Claims::new(),
    );
    let status = plan.status;
    let counts = (status.replicas, status.ready_replicas, status.available_replicas);
    assert_eq!(counts, (3, Some(3), Some(2)));
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(2), Some(1)));
    assert_eq!(
        (status.current_revision.as_deref(), status.update_revision.as_deref()),
        (Some("old"), Some("new"))
    );
    assert_eq!((status.observed_generation, status.collision_count), (Some(3), Some(0)));
    assert_eq!(plan.look_again, Some(Duration::from_secs(5)));
}

#[test]
fn once_all_are_new_the_new_revision_is_the_current_one() {
    let status = plan_of(&set(2, &json!({})), &["0:ready", "1:ready"], &Claims::new()).status;
    assert_eq!((status.current_revision.as_deref(), status.current_replicas), (Some("new"), Some(2)));
    let status = plan_of(&set(2, &json!({})), &["0:ready", "1:running"], &Claims::new()).status;
    assert_eq!(status.current_revision.as_deref(), Some("old"));
}

fn with_claims(when_scaled: &str, when_deleted: &str) -> Value {
    json!({
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled, "whenDeleted": when_deleted},
    })
}

fn held(
    set: &StatefulSet,
    ordinal: i32,
    change: impl FnOnce(&mut PersistentVolumeClaim),
) -> (String, Arc<PersistentVolumeClaim>) {
    let mut claim = identity::claims(set, ordinal).remove("data").unwrap();
    change(&mut claim);
    (claim.name_any(), Arc::new(claim))
}

#[test]
fn claims_come_before_their_pod() {
    let set = set(1, &with_claims("Retain", "Delete"));
    let plan = plan_of(&set, &[], &Claims::new());
    assert_eq!(words(&plan), "claim data-web-0, create web-0@new");
    let Action::Claim { claim, .. } = &plan.steps[0][0][0] else { panic!() };
    assert_eq!(claim.metadata.owner_references.as_ref().unwrap()[0].kind, "StatefulSet");
    assert_eq!(claim.metadata.labels.as_ref().unwrap()["app"], "web");
    let Action::Create(pod) = &plan.steps[0][0][1] else { panic!() };
    let volumes = pod.spec.as_ref().unwrap().volumes.as_ref().unwrap();
    assert_eq!(volumes[0].persistent_volume_claim.as_ref().unwrap().claim_name, "data-web-0");
    let found = pod.metadata.labels.as_ref().unwrap();
    assert_eq!(found["statefulset.kubernetes.io/pod-name"], "web-0");
    assert_eq!((found["apps.kubernetes.io/pod-index"].as_str(), found[POD_REVISION].as_str()), ("0", "new"));
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("web-0"), Some("web")));
}

#[test]
fn a_claim_that_goes_with_an_earlier_pod_is_waited_for() {
    let set = set(1, &with_claims("Delete", "Retain"));
    let stale = held(&set, 0, |claim| {
        claim.metadata.owner_references =
            Some(vec![crate::objects::meta::controller_reference(&*pod(&set, "0:ready"))]);
    });
    assert_eq!(words(&plan_of(&set, &[], &Claims::from([stale]))), "");
    let going = held(&set, 0, |claim| {
        claim.metadata.deletion_timestamp = Some(serde_json::from_value(json!(now().to_string())).unwrap());
    });
    assert_eq!(words(&plan_of(&set, &[], &Claims::from([going]))), "");
}

#[rstest]
#[case::kept("Retain", "Retain", "delete web-1")]
#[case::with_the_set(
    "Retain",
    "Delete",
    "own data-web-0 by [StatefulSet], own data-web-1 by [StatefulSet], delete web-1"
)]
#[case::with_the_pod("Delete", "Retain", "own data-web-1 by [Pod], delete web-1")]
#[case::with_either(
    "Delete",
    "Delete",
    "own data-web-0 by [StatefulSet], own data-web-1 by [Pod], delete web-1"
)]
fn claims_of_a_pod_scaled_away(
    #[case] when_scaled: &str,
    #[case] when_deleted: &str,
    #[case] expected: &str,
) {
    let set = set(1, &with_claims(when_scaled, when_deleted));
    let claims = Claims::from([held(&set, 0, |_| {}), held(&set, 1, |_| {})]);
    assert_eq!(words(&plan_of(&set, &["0:ready", "1:ready"], &claims)), expected);
}

#[test]
fn claims_that_others_manage_are_left_alone() {
    let set = set(1, &with_claims("Retain", "Delete"));
    let mut other = set.clone();
    other.metadata.uid = Some("another".into());
    let claim = held(&set, 0, |claim| {
        claim.metadata.owner_references = Some(vec![crate::objects::meta::controller_reference(&other)]);
    });
    assert_eq!(words(&plan_of(&set, &["0:ready"], &Claims::from([claim]))), "");
}

#[test]
fn only_pods_of_its_name_are_members() {
    let set = set(1, &json!({}));
    let named = |name: &str| {
        let mut pod = (*pod(&set, "0:ready")).clone();
        pod.metadata.name = Some(name.into());
        identity::ordinal(&set, &pod)
    };
    assert_eq!(
        [named("web-12"), named("web-"), named("web-a"), named("other-1"), named("web-1-2")],
        [Some(12), None, None, None, None]
    );
}
