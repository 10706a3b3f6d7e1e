//! What volumes need, case by case; and that a binding is complete once it is written.

#![expect(clippy::needless_pass_by_value, reason = "helpers take JSON literals")]

use rstest::rstest;
use serde_json::{Value, json};

use super::super::super::facts::{BIND_COMPLETED, BOUND_BY_CONTROLLER};
use super::super::writes;
use super::*;

fn volume(policy: &str, by: Option<&str>, reference: Value) -> PersistentVolume {
    let annotations = by.map_or(json!({}), |by| json!({PROVISIONED_BY: by}));
    serde_json::from_value(json!({
        "metadata": {"name": "v", "annotations": annotations},
        "spec": {
            "claimRef": reference, "persistentVolumeReclaimPolicy": policy, "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
        },
        "status": {"phase": "Bound"},
    }))
    .unwrap()
}

fn claim(names: &str, mode: &str) -> Arc<PersistentVolumeClaim> {
    let metadata = json!({"name": "c", "namespace": "ns", "uid": "u-1"});
    let spec = json!({"volumeName": names, "volumeMode": mode});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
}

fn of(uid: Option<&str>) -> Value {
    json!({"namespace": "ns", "name": "c", "uid": uid})
}

#[rstest]
#[case::free(json!(null), None, Act::Phase(AVAILABLE))]
#[case::kept(of(None), Some(("", "Filesystem")), Act::Phase(AVAILABLE))]
#[case::bound(of(Some("u-1")), Some(("v", "Filesystem")), Act::Phase(BOUND))]
#[case::half_bound(of(Some("u-1")), Some(("", "Filesystem")), Act::LeaveToClaim)]
#[case::bound_elsewhere(of(Some("u-1")), Some(("w", "Filesystem")), Act::Unbind)]
#[case::claim_gone(of(Some("u-1")), None, Act::Release(Reclaim::Keep))]
#[case::claim_made_again(of(Some("u-0")), Some(("", "Filesystem")), Act::Release(Reclaim::Keep))]
fn a_volume_follows_its_claim(
    #[case] reference: Value,
    #[case] of: Option<(&str, &str)>,
    #[case] wanted: Act,
) {
    let claim = of.map(|(names, mode)| claim(names, mode));
    assert_eq!(plan(&volume("Retain", None, reference), claim.as_ref()), wanted);
}

#[test]
fn modes_that_differ_are_told_to_both() {
    let act = plan(&volume("Retain", None, of(Some("u-1"))), Some(&claim("", "Block")));
    let Act::Mismatch { of_volume, of_claim } = act else { panic!("{act:?}") };
    assert!(
        of_volume.message.contains("requested PersistentVolumeClaim \"c\" due to incompatible volumeMode")
    );
    assert!(of_claim.message.contains("PersistentVolume \"v\" to requested"));
}

#[rstest]
#[case::retained("Retain", Some(local_path::PROVISIONER), "Keep")]
#[case::ours("Delete", Some(local_path::PROVISIONER), "Delete")]
#[case::of_a_driver("Delete", Some("csi.example.com"), "Keep")]
#[case::of_nobody("Delete", None, "no deletable volume plugin matched")]
#[case::in_tree(
    "Delete",
    Some("kubernetes.io/gce-pd"),
    "no volume plugin matched name: kubernetes.io/gce-pd"
)]
#[case::recycled("Recycle", None, "No recycler plugin found for the volume!")]
fn the_policy_says_what_becomes_of_a_released_volume(
    #[case] policy: &str,
    #[case] by: Option<&str>,
    #[case] wanted: &str,
) {
    let mut volume = volume(policy, by, of(Some("u-1")));
    let Act::Release(reclaim) = plan(&volume, None) else { panic!("it is not released") };
    let found = match &reclaim {
        Reclaim::Fail(said) => said.message.clone(),
        other => format!("{other:?}"),
    };
    assert!(found.contains(wanted), "{found}");
    assert_eq!(released(&volume), Some(RELEASED));
    // What failed once stays failed, and what goes already is not deleted again.
    volume.status.as_mut().unwrap().phase = Some(FAILED.to_owned());
    assert_eq!(plan(&volume, None), Act::Release(Reclaim::Keep));
    assert_eq!(released(&volume), None);
}

#[test]
fn a_volume_made_for_a_claim_that_got_another_is_deleted() {
    let volume = volume("Delete", Some(local_path::PROVISIONER), of(Some("u-1")));
    assert_eq!(plan(&volume, Some(&claim("w", "Filesystem"))), Act::Release(Reclaim::Delete));
}

#[test]
fn a_binding_that_is_written_is_complete() {
    let (free, claim) = (volume("Delete", None, json!(null)), claim("", "Filesystem"));
    let bound = writes::volume_bound(&free, &claim).unwrap();
    assert!(annotation(&bound.metadata, BOUND_BY_CONTROLLER).is_some());
    assert_eq!(writes::volume_bound(&bound, &claim), None);
    let claimed = writes::claim_bound(&claim, &bound).unwrap();
    assert!(annotation(&claimed.metadata, BIND_COMPLETED).is_some());
    assert!(annotation(&claimed.metadata, BOUND_BY_CONTROLLER).is_some());
    assert_eq!(writes::claim_bound(&claimed, &bound), None);
    let mut holding = writes::claim_holding(&claimed, &bound).unwrap();
    assert_eq!(writes::claim_holding(&holding, &bound), None);
    // A claim that grew since keeps what it holds.
    let more = serde_json::from_value(json!({"storage": "2Gi"})).unwrap();
    holding.status.as_mut().unwrap().capacity = Some(more);
    assert_eq!(writes::claim_holding(&holding, &bound), None);
    assert_eq!(writes::volume_unbound(&bound).spec.unwrap().claim_ref, None);
}

#[test]
fn a_volume_that_its_user_keeps_for_a_claim_stays_kept() {
    let (kept, claim) = (volume("Retain", None, of(None)), claim("", "Filesystem"));
    let bound = writes::volume_bound(&kept, &claim).unwrap();
    assert_eq!(annotation(&bound.metadata, BOUND_BY_CONTROLLER), None);
    let unbound = writes::volume_unbound(&bound).spec.unwrap().claim_ref.unwrap();
    assert_eq!((unbound.name.as_deref(), unbound.uid), (Some("c"), None));
}
