//! Which volume a claim gets, case by case.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        for (key, value) in more {
            let before = base.remove(&key).unwrap_or_default();
            base.insert(key, if value.is_object() { merged(before_or_object(before), value) } else { value });
        }
    }
    base
}

fn before_or_object(before: Value) -> Value {
    if before.is_object() { before } else { json!({}) }
}

fn claim(more: Value) -> PersistentVolumeClaim {
    let base = json!({
        "metadata": {"name": "c", "namespace": "ns", "uid": "u-1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    });
    serde_json::from_value(merged(base, more)).unwrap()
}

fn volume(name: &str, more: Value) -> Arc<PersistentVolume> {
    let base = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}},
        "status": {"phase": "Available"},
    });
    Arc::new(serde_json::from_value(merged(base, more)).unwrap())
}

fn name(volume: Option<&Arc<PersistentVolume>>) -> Option<String> {
    volume.and_then(|volume| volume.metadata.name.clone())
}

#[rstest]
#[case::same(json!({}), json!({}), true)]
#[case::small(json!({}), json!({"spec": {"capacity": {"storage": "1Gi"}}}), false)]
#[case::more_modes(json!({}), json!({"spec": {"accessModes": ["ReadOnlyMany", "ReadWriteOnce"]}}), true)]
#[case::other_modes(json!({}), json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), false)]
#[case::class(json!({"spec": {"storageClassName": "a"}}), json!({"spec": {"storageClassName": "a"}}), true)]
#[case::no_class(json!({"spec": {"storageClassName": "a"}}), json!({}), false)]
#[case::other_class(json!({}), json!({"spec": {"storageClassName": "a"}}), false)]
#[case::old_class(
    json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}}),
    json!({"spec": {"storageClassName": "a"}}),
    true
)]
#[case::block(json!({}), json!({"spec": {"volumeMode": "Block"}}), false)]
#[case::filesystem(json!({"spec": {"volumeMode": "Filesystem"}}), json!({}), true)]
#[case::attributes(
    json!({"spec": {"volumeAttributesClassName": "gold"}}),
    json!({"spec": {"volumeAttributesClassName": "gold"}}),
    true
)]
#[case::other_attributes(json!({"spec": {"volumeAttributesClassName": "gold"}}), json!({}), false)]
#[case::chosen(
    json!({"spec": {"selector": {"matchLabels": {"disk": "fast"}}}}),
    json!({"metadata": {"labels": {"disk": "fast"}}}),
    true
)]
#[case::not_chosen(json!({"spec": {"selector": {"matchLabels": {"disk": "fast"}}}}), json!({}), false)]
#[case::not_available(json!({}), json!({"status": {"phase": "Released"}}), false)]
#[case::going(json!({}), json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), false)]
#[case::of_another(json!({}), json!({"spec": {"claimRef": {"namespace": "ns", "name": "d"}}}), false)]
#[case::of_a_former(json!({}), json!({"spec": {"claimRef": {"namespace": "ns", "name": "c", "uid": "u-0"}}}), false)]
fn a_volume_has_all_that_the_claim_asks_for(#[case] wants: Value, #[case] has: Value, #[case] fits: bool) {
    let volumes = [volume("v", has)];
    assert_eq!(best(&claim(wants), &volumes, false).unwrap().is_some(), fits);
}

#[test]
fn the_smallest_wins_and_fewer_modes_come_first() {
    let sized = |name: &str, size: &str| volume(name, json!({"spec": {"capacity": {"storage": size}}}));
    let many =
        json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": "2Gi"}}});
    let volumes = [sized("a", "8Gi"), sized("b", "4Gi"), sized("c", "5Gi"), volume("d", many)];
    assert_eq!(name(best(&claim(json!({})), &volumes, false).unwrap()), Some("b".to_owned()));
}

#[test]
fn a_volume_kept_for_the_claim_comes_first_even_when_the_scheduler_chooses() {
    let kept = json!({
        "spec": {"claimRef": {"namespace": "ns", "name": "c"}, "capacity": {"storage": "9Gi"}, "storageClassName": "x"},
    });
    let volumes = [volume("a", json!({})), volume("b", kept)];
    for delayed in [false, true] {
        assert_eq!(name(best(&claim(json!({})), &volumes, delayed).unwrap()), Some("b".to_owned()));
    }
    assert_eq!(name(best(&claim(json!({})), &volumes[..1], true).unwrap()), None);
}

#[rstest]
#[case(json!({"spec": {"capacity": {"storage": "1Gi"}}}), "requested PV is too small")]
#[case(json!({"spec": {"storageClassName": "a"}}), "storageClassName does not match")]
#[case(json!({"spec": {"volumeMode": "Block"}}), "incompatible volumeMode")]
#[case(json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), "incompatible accessMode")]
#[case(json!({"spec": {"volumeAttributesClassName": "gold"}}), "volumeAttributesClassName does not match")]
#[case(
    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    "the volume is marked for deletion \"v\""
)]
fn what_a_named_volume_lacks_is_told(#[case] has: Value, #[case] why: &str) {
    assert_eq!(satisfies(&volume("v", has), &claim(json!({}))), Err(why.to_owned()));
}
