//! The volumes that are made, those that cannot be, and those whose node is gone.

#![expect(clippy::needless_pass_by_value, reason = "helpers take JSON literals")]

use rstest::rstest;
use serde_json::{Value, json};

use super::super::facts::capacity;
use super::*;

fn claim(spec: Value) -> PersistentVolumeClaim {
    let mut spec = spec;
    spec["resources"] = json!({"requests": {"storage": "1Gi"}});
    let metadata = json!({"name": "c", "namespace": "ns", "uid": "u-1"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn class(more: Value) -> StorageClass {
    let mut class =
        json!({"metadata": {"name": "local-path"}, "provisioner": PROVISIONER, "reclaimPolicy": "Delete"});
    class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(class).unwrap()
}

fn node(host: &str, directory: Option<&str>) -> Node {
    let metadata = json!({"name": "n", "labels": {HOSTNAME: host}, "annotations": {DIRECTORY: directory}});
    let mut metadata = metadata;
    if directory.is_none() {
        metadata["annotations"] = json!({});
    }
    serde_json::from_value(json!({ "metadata": metadata })).unwrap()
}

#[test]
fn a_volume_is_a_directory_of_the_selected_node() {
    let claim = claim(json!({"accessModes": ["ReadWriteOnce"]}));
    let volume = provision(&claim, &class(json!({})), &node("host", Some("/data/volumes/"))).unwrap();
    assert_eq!(volume.name_any(), "pvc-u-1");
    assert_eq!(capacity(&volume), "1Gi".parse().unwrap());
    let found = serde_json::to_value(&volume).unwrap();
    assert_eq!(found["spec"]["local"]["path"], "/data/volumes/pvc-u-1");
    let here = &found["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(*here, json!({"key": HOSTNAME, "operator": "In", "values": ["host"]}));
    assert_eq!(found["spec"]["claimRef"]["uid"], "u-1");
    assert_eq!(found["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    assert_eq!(found["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(found["metadata"]["labels"][NODE], "host");
    assert_eq!(provision(&claim, &class(json!({})), &node("host", None)), None);
}

#[rstest]
#[case(json!({"accessModes": ["ReadWriteMany"]}), json!({}), "access modes ReadWriteOnce and ReadWriteOncePod")]
#[case(json!({"volumeMode": "Block"}), json!({}), "mode Block")]
#[case(json!({"selector": {}}), json!({}), "claim.Spec.Selector is not supported")]
#[case(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "d"}}), json!({}), "with a datasource")]
#[case(json!({"volumeAttributesClassName": "gold"}), json!({}), "with a volumeAttributesClass")]
#[case(json!({}), json!({"parameters": {"nodePath": "/x"}}), "unknown parameter \"nodePath\"")]
#[case(json!({}), json!({"mountOptions": ["ro"]}), "has mount options [\"ro\"]")]
fn what_a_directory_cannot_be_is_refused(#[case] spec: Value, #[case] more: Value, #[case] why: &str) {
    let refused = refuse(&claim(spec), &class(more)).unwrap();
    assert!(refused.contains(why), "{refused}");
    assert_eq!(refuse(&claim(json!({"accessModes": ["ReadWriteOncePod"]})), &class(json!({}))), None);
}

#[rstest]
#[case::its_node_is_there(true, "host", false)]
#[case::its_node_is_gone(true, "other", true)]
#[case::it_stays(false, "other", false)]
fn only_volumes_of_nodes_that_are_gone_are_given_up(
    #[case] going: bool,
    #[case] host: &str,
    #[case] given_up: bool,
) {
    let volume: PersistentVolume = serde_json::from_value(json!({"metadata": {
        "name": "v", "labels": {NODE: "host"}, "finalizers": ["x", FINALIZER],
        "deletionTimestamp": going.then_some("2026-01-01T00:00:00Z"),
    }}))
    .unwrap();
    let left = released(&volume, &[Arc::new(node(host, None))]);
    assert_eq!(left.is_some(), given_up);
    if let Some(left) = left {
        assert_eq!(left.metadata.finalizers, Some(vec!["x".to_owned()]));
    }
}
