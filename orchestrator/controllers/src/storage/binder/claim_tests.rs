//! What claims need, case by case.

#![expect(clippy::needless_pass_by_value, reason = "helpers take JSON literals")]

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const CLASS: &str = "local-path";

fn claim(annotations: Value, spec: Value) -> PersistentVolumeClaim {
    let mut spec = spec;
    spec["accessModes"] = json!(["ReadWriteOnce"]);
    spec["resources"] = json!({"requests": {"storage": "1Gi"}});
    let metadata = json!({"name": "c", "namespace": "ns", "uid": "u-1", "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}))
        .unwrap()
}

fn volume(reference: Value) -> Arc<PersistentVolume> {
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "claimRef": reference,
    });
    let volume = json!({"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Available"}});
    Arc::new(serde_json::from_value(volume).unwrap())
}

fn class(mode: &str, provisioner: &str) -> StorageClass {
    let class = json!({"metadata": {"name": CLASS}, "volumeBindingMode": mode, "provisioner": provisioner});
    serde_json::from_value(class).unwrap()
}

fn world<'a>(claim: &'a PersistentVolumeClaim, volumes: &'a [Arc<PersistentVolume>]) -> World<'a> {
    World { claim, volumes, class: None, default_class: None, node: None, waiting: &[] }
}

fn said(plan: &Plan) -> String {
    plan.say.as_ref().map(|said| format!("{said:?}")).unwrap_or_default()
}

#[rstest]
#[case::free(json!(null), true, "")]
#[case::kept(json!({"namespace": "ns", "name": "c"}), true, "")]
#[case::of_another(json!({"namespace": "ns", "name": "d", "uid": "u-2"}), false, "already bound to a different claim.")]
fn a_claim_gets_the_volume_it_names(#[case] reference: Value, #[case] binds: bool, #[case] says: &str) {
    let (claim, volumes) = (claim(json!({}), json!({"volumeName": "v"})), [volume(reference)]);
    let planned = plan(&world(&claim, &volumes)).unwrap();
    let wanted = if binds { Act::Bind(volumes[0].clone()) } else { Act::Phase(PENDING) };
    assert_eq!(planned.act, wanted);
    assert!(said(&planned).contains(says), "{planned:?}");
}

#[test]
fn a_named_volume_that_does_not_fit_is_told() {
    let claim = claim(json!({}), json!({"volumeName": "v", "volumeMode": "Block"}));
    let planned = plan(&world(&claim, &[volume(json!(null))])).unwrap();
    assert_eq!(planned.act, Act::Phase(PENDING));
    assert!(said(&planned).contains("Cannot bind to requested volume \\\"v\\\": incompatible volumeMode"));
}

#[rstest]
#[case::all_is_well(json!({"namespace": "ns", "name": "c", "uid": "u-1"}), "v", "")]
#[case::volume_came_unbound(json!(null), "v", "")]
#[case::misbound(json!({"namespace": "ns", "name": "d", "uid": "u-2"}), "v", "ClaimMisbound")]
#[case::no_reference(json!(null), "", "ClaimLost")]
fn a_claim_that_was_bound_stays_so_or_is_lost(
    #[case] reference: Value,
    #[case] names: &str,
    #[case] lost: &str,
) {
    let claim = claim(json!({BIND_COMPLETED: "yes"}), json!({"volumeName": names}));
    let volumes = [volume(reference)];
    let planned = plan(&world(&claim, &volumes)).unwrap();
    let wanted = if lost.is_empty() { Act::Bind(volumes[0].clone()) } else { Act::Phase(LOST) };
    assert_eq!(planned.act, wanted);
    assert!(said(&planned).contains(lost), "{planned:?}");
}

#[test]
fn a_claim_whose_volume_is_gone_is_lost_once() {
    let mut claim = claim(json!({BIND_COMPLETED: "yes"}), json!({"volumeName": "v"}));
    assert_eq!(plan(&world(&claim, &[])).unwrap().act, Act::Phase(LOST));
    claim.status.as_mut().unwrap().phase = Some(LOST.to_owned());
    assert_eq!(plan(&world(&claim, &[])).unwrap(), Act::Wait.into());
}

#[test]
fn without_volume_and_class_a_claim_waits_or_gets_the_default_class() {
    let unclassed = claim(json!({}), json!({}));
    let mut world = world(&unclassed, &[]);
    let planned = plan(&world).unwrap();
    assert_eq!(planned.act, Act::Phase(PENDING));
    assert!(
        said(&planned).contains("no persistent volumes available for this claim and no storage class is set")
    );
    world.default_class = Some(CLASS);
    assert_eq!(plan(&world).unwrap().act, Act::Classify(CLASS.to_owned()));
    let none = claim(json!({}), json!({"storageClassName": ""}));
    world.claim = &none;
    assert_eq!(plan(&world).unwrap().act, Act::Phase(PENDING), "an empty class is one that was named");
}

#[rstest]
#[case(&[], "WaitForFirstConsumer")]
#[case(&["web-0"], "waiting for pod web-0 to be scheduled")]
#[case(&["web-0", "web-1"], "waiting for pods web-0,web-1 to be scheduled")]
fn a_class_may_wait_for_the_first_consumer(#[case] pods: &[&str], #[case] says: &str) {
    let claim = claim(json!({}), json!({"storageClassName": CLASS}));
    let class = class("WaitForFirstConsumer", local_path::PROVISIONER);
    let waiting: Vec<_> = pods.iter().map(|pod| (*pod).to_owned()).collect();
    // A volume that would fit is the scheduler's to choose.
    let volumes = [volume(json!(null))];
    let world = World { class: Some(&class), waiting: &waiting, ..world(&claim, &volumes) };
    let planned = plan(&world).unwrap();
    assert_eq!(planned.act, Act::Phase(PENDING));
    assert!(said(&planned).contains(says), "{planned:?}");
}

#[rstest]
#[case::none(None, Act::Wait, "storageclass.storage.k8s.io \\\"local-path\\\" not found")]
#[case::in_tree(
    Some("kubernetes.io/no-provisioner"),
    Act::Wait,
    "no volume plugin matched name: kubernetes.io/no-provisioner"
)]
#[case::external(Some("csi.example.com"), Act::Expect("csi.example.com".to_owned()), "external provisioner 'csi.example.com'")]
#[case::directory(Some(local_path::PROVISIONER), Act::Wait, "no node was selected")]
fn a_class_says_who_makes_volumes(#[case] provisioner: Option<&str>, #[case] act: Act, #[case] says: &str) {
    let claim = claim(json!({}), json!({"storageClassName": CLASS}));
    let class = provisioner.map(|provisioner| class("Immediate", provisioner));
    let planned = plan(&World { class: class.as_ref(), ..world(&claim, &[]) }).unwrap();
    assert_eq!(planned.act, act);
    assert!(said(&planned).contains(says), "{planned:?}");
}

#[test]
fn a_volume_is_made_on_the_selected_node() {
    let mut claim = claim(json!({SELECTED_NODE: "n"}), json!({"storageClassName": CLASS}));
    let class = class("WaitForFirstConsumer", local_path::PROVISIONER);
    let metadata = json!({
        "name": "n", "labels": {local_path::HOSTNAME: "n"}, "annotations": {local_path::DIRECTORY: "/data"},
    });
    let mut node: Node = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
    let make = |claim: &PersistentVolumeClaim, node: Option<&Node>| {
        plan(&World { class: Some(&class), node, ..world(claim, &[]) }).unwrap().act
    };
    assert!(matches!(make(&claim, Some(&node)), Act::Provision(_)));
    assert_eq!(make(&claim, None), Act::Reselect);
    claim.metadata.annotations = None;
    assert!(
        matches!(make(&claim, Some(&node)), Act::Provision(_)),
        "a Pod was placed without being scheduled"
    );
    assert_eq!(make(&claim, None), Act::Phase(PENDING));
    node.metadata.annotations = None;
    assert_eq!(make(&claim, Some(&node)), Act::Reselect);
    claim.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert_eq!(make(&claim, Some(&node)), Act::Wait);
}
