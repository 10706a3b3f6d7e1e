//! Tests of what is planned for Pods and their claims.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use rstest::rstest;
use serde_json::{Value, json};

use super::cleaner;
use super::maker::{Action, base, plan};
use super::*;

fn parse<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// A Pod with a claim from the template `t`, and these names of claims in its status.
fn pod(statuses: &Value) -> Pod {
    parse(json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "u-1" },
        "spec": { "containers": [], "resourceClaims": [
            { "name": "gpu", "resourceClaimTemplateName": "t" }, { "name": "shared", "resourceClaimName": "s" },
        ] },
        "status": { "resourceClaimStatuses": statuses },
    }))
}

fn template() -> Arc<ResourceClaimTemplate> {
    let spec = json!({
        "metadata": { "labels": { "a": "b" } },
        "spec": { "devices": { "requests": [{ "name": "r", "exactly": { "deviceClassName": "c" } }] } },
    });
    Arc::new(parse(json!({ "metadata": { "name": "t" }, "spec": spec })))
}

fn claim(owner: &str) -> Arc<ResourceClaim> {
    let reference =
        json!({ "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": owner, "controller": true });
    let metadata = json!({
        "name": "web-gpu-x", "namespace": "ns", "ownerReferences": [reference],
        "annotations": { "resource.kubernetes.io/pod-claim-name": "gpu" },
    });
    Arc::new(parse(json!({ "metadata": metadata, "spec": {} })))
}

#[test]
fn a_claim_is_made_from_the_template() {
    let planned = plan(&pod(&json!([])), |_| None, &[], |_| Some(template()));
    let [(name, Action::Create(claim))] = &planned[..] else { panic!("{planned:?}") };
    assert_eq!((name.as_str(), claim.metadata.generate_name.as_deref()), ("gpu", Some("web-gpu-")));
    assert_eq!(claim.metadata.labels.as_ref().unwrap()["a"], "b");
    assert_eq!(claim.metadata.annotations.as_ref().unwrap()["resource.kubernetes.io/pod-claim-name"], "gpu");
    assert_eq!(claim.metadata.owner_references.as_ref().unwrap()[0].uid, "u-1");
    assert_eq!(claim.spec.devices.as_ref().unwrap().requests.as_ref().unwrap()[0].name, "r");
}

#[test]
fn a_claim_that_was_made_is_told_instead_of_made_again() {
    let planned = plan(&pod(&json!([])), |_| None, &[claim("u-1")], |_| Some(template()));
    assert_eq!(planned, [("gpu".to_owned(), Action::Tell("web-gpu-x".to_owned()))]);
}

#[rstest]
#[case::its_own("u-1", true)]
#[case::of_another_pod("u-2", false)]
fn a_claim_in_the_status_must_be_the_pods(#[case] owner: &str, #[case] is_done: bool) {
    let pod = pod(&json!([{ "name": "gpu", "resourceClaimName": "web-gpu-x" }]));
    let planned = plan(&pod, |_| Some(claim(owner)), &[], |_| Some(template()));
    assert_eq!(planned.is_empty(), is_done, "{planned:?}");
}

#[test]
fn nothing_is_made_without_a_template_nor_for_pods_that_go() {
    let lacks = plan(&pod(&json!([])), |_| None, &[], |_| None);
    assert_eq!(lacks, [("gpu".to_owned(), Action::Lacks("t".to_owned()))]);
    let mut going = pod(&json!([]));
    going.metadata.deletion_timestamp = Some(parse(json!("2026-01-01T00:00:00Z")));
    assert_eq!(plan(&going, |_| None, &[], |_| Some(template())), []);
    assert_eq!(plan(&pod(&json!([{ "name": "gpu" }])), |_| None, &[], |_| Some(template())), []);
}

#[test]
fn both_parts_of_a_long_name_are_cut() {
    let name = base(&"p".repeat(60), &"c".repeat(30));
    assert_eq!(name, format!("{}-{}", "p".repeat(37), "c".repeat(18)));
}

/// A claim with devices and these users.
fn used(users: &[&str], is_going: bool, is_held: bool) -> ResourceClaim {
    let user = |user: &&str| json!({ "resource": "pods", "name": user, "uid": user });
    parse(json!({
        "metadata": {
            "name": "c", "namespace": "ns", "deletionTimestamp": is_going.then_some("2026-01-01T00:00:00Z"),
            "finalizers": is_held.then(|| json!(["resource.kubernetes.io/delete-protection"])),
        },
        "spec": {},
        "status": { "allocation": {}, "reservedFor": users.iter().map(user).collect::<Vec<_>>() },
    }))
}

#[rstest]
#[case::all_use_it(&["a", "b"], 2, false, None, false)]
#[case::one_is_left(&["a", "b"], 1, false, Some(true), false)]
#[case::nobody_is_left(&["a", "b"], 0, false, Some(false), true)]
#[case::never_used(&[], 0, false, None, false)]
#[case::deleted_and_unused(&[], 0, true, Some(false), true)]
#[case::deleted_and_used(&["a"], 1, true, None, false)]
fn devices_are_given_back_with_the_last_user(
    #[case] users_before: &[&str],
    #[case] left: usize,
    #[case] is_going: bool,
    #[case] written_allocated: Option<bool>,
    #[case] releases: bool,
) {
    let claim = used(users_before, is_going, true);
    let planned = cleaner::plan(&claim, &users(&claim)[..left]);
    assert_eq!(planned.status.as_ref().map(|claim| is_allocated(claim)), written_allocated);
    if let Some(written) = &planned.status {
        assert_eq!(users(written).len(), left);
    }
    assert_eq!(planned.releases, releases);
}

#[test]
fn what_others_allocated_is_theirs_to_take_back() {
    let claim = used(&["a"], false, false);
    let planned = cleaner::plan(&claim, &[]);
    assert!(planned.status.is_some_and(|claim| is_allocated(&claim)) && !planned.releases);
}
