//! Tests of the plugins about volumes, with objects written as the user would.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn parse<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// Two nodes in zones a and b; classes that bind at once and that wait; a driver that takes two volumes.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "za"), ("b", "zb")] {
        let labels = json!({ "topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name });
        let node = json!({ "metadata": { "name": name, "labels": labels } });
        cluster.set_node(&parse(node));
        let drivers = json!([{ "name": "csi", "nodeID": name, "allocatable": { "count": 2 } }]);
        let limits = json!({ "metadata": { "name": name }, "spec": { "drivers": drivers } });
        cluster.storage.set_csi_node(&parse(limits));
    }
    for (name, mode, provisioner) in [
        ("at-once", "Immediate", "csi"),
        ("waits", "WaitForFirstConsumer", "csi"),
        ("local", "WaitForFirstConsumer", "kubernetes.io/no-provisioner"),
    ] {
        let class = json!({
            "metadata": { "name": name }, "provisioner": provisioner, "volumeBindingMode": mode,
        });
        cluster.storage.set_class(parse(class));
    }
    cluster
}

fn set_claim(cluster: &mut Cluster, name: &str, class: &str, volume: Option<&str>) {
    let annotations = volume.map(|_| json!({ "pv.kubernetes.io/bind-completed": "yes" }));
    cluster.storage.set_claim(parse(json!({
        "metadata": { "name": name, "namespace": "ns", "annotations": annotations },
        "spec": {
            "storageClassName": class, "volumeName": volume, "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })));
}

/// A volume of a class, usable on one node if one is named.
fn set_volume(cluster: &mut Cluster, name: &str, class: &str, size: &str, node: Option<&str>) {
    let affinity = node.map(|node| {
        let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
        json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } })
    });
    cluster.storage.set_volume(parse(json!({
        "metadata": { "name": name },
        "spec": {
            "storageClassName": class, "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"],
            "nodeAffinity": affinity, "csi": { "driver": "csi", "volumeHandle": name },
        },
        "status": { "phase": "Available" },
    })));
}

fn pod(name: &str, volumes: &Value) -> PodInfo {
    PodInfo::new(Arc::new(parse(json!({
        "metadata": { "name": name, "namespace": "ns", "uid": name },
        "spec": { "containers": [], "volumes": volumes },
    }))))
}

fn with_claims(name: &str, claims: &[&str]) -> PodInfo {
    let volume = |claim: &&str| json!({ "name": claim, "persistentVolumeClaim": { "claimName": claim } });
    pod(name, &claims.iter().map(volume).collect())
}

fn profile() -> Profile {
    Profile::new("default-scheduler".to_owned())
}

/// Both nodes say nothing against it.
const FREE: [Vec<String>; 2] = [Vec::new(), Vec::new()];

/// What the nodes a and b say; or what is said before they are asked.
fn said(pod: &PodInfo, cluster: &Cluster) -> Result<[Vec<String>; 2], String> {
    let needs = Needs::of(pod, cluster, &profile()).map_err(|refused| refused.text)?;
    Ok(["a", "b"].map(|name| {
        let node = cluster.node_named(name).unwrap();
        let refused = needs.as_ref().and_then(|needs| needs.pass(node, cluster, &profile()).err());
        refused.map(|refused| refused.texts(&pod.template)).unwrap_or_default()
    }))
}

fn steps(pod: &PodInfo, cluster: &Cluster, node: &str) -> Vec<Step> {
    let needs = Needs::of(pod, cluster, &profile()).unwrap().unwrap();
    needs.steps(cluster.node_named(node).unwrap(), cluster)
}

#[test]
fn claims_that_cannot_be_used_refuse_everywhere() {
    let mut cluster = cluster();
    let of = |cluster: &Cluster, claim: &str| said(&with_claims("p", &[claim]), cluster).unwrap_err();
    assert_eq!(of(&cluster, "missing"), "persistentvolumeclaim \"missing\" not found");
    set_claim(&mut cluster, "immediate", "at-once", None);
    assert_eq!(of(&cluster, "immediate"), "pod has unbound immediate PersistentVolumeClaims");
    set_claim(&mut cluster, "classless", "", None);
    assert_eq!(of(&cluster, "classless"), "pod has unbound immediate PersistentVolumeClaims");
    cluster.storage.set_claim(parse(json!({
        "metadata": { "name": "lost", "namespace": "ns" },
        "spec": { "volumeName": "gone" }, "status": { "phase": "Lost" },
    })));
    assert_eq!(
        of(&cluster, "lost"),
        "persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"gone\""
    );
    let ephemeral = pod("p", &json!([{ "name": "scratch", "ephemeral": {} }]));
    assert_eq!(
        said(&ephemeral, &cluster).unwrap_err(),
        "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-scratch\""
    );
}

#[test]
fn a_bound_volume_is_used_where_it_can_be() {
    let mut cluster = cluster();
    set_claim(&mut cluster, "c", "at-once", Some("v"));
    let pod = with_claims("p", &["c"]);
    let missing =
        vec!["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".to_owned()];
    assert_eq!(said(&pod, &cluster).unwrap(), [missing.clone(), missing]);
    set_volume(&mut cluster, "v", "at-once", "1Gi", Some("b"));
    let elsewhere = vec!["node(s) didn't match PersistentVolume's node affinity".to_owned()];
    assert_eq!(said(&pod, &cluster).unwrap(), [elsewhere, vec![]]);
    assert_eq!(steps(&pod, &cluster, "b"), []);
}

#[test]
fn the_smallest_volume_that_fits_is_bound() {
    let mut cluster = cluster();
    set_claim(&mut cluster, "c", "local", None);
    for (name, size, node) in [("large", "9Gi", "a"), ("right", "2Gi", "a"), ("small", "1Mi", "b")] {
        set_volume(&mut cluster, name, "local", size, Some(node));
    }
    let pod = with_claims("p", &["c"]);
    let none = vec!["node(s) didn't find available persistent volumes to bind".to_owned()];
    assert_eq!(said(&pod, &cluster).unwrap(), [vec![], none]);
    assert_eq!(steps(&pod, &cluster, "a"), [Step::Bind { volume: "right".into(), claim: "c".into() }]);
    // What is promised to another claim is not there.
    cluster.storage.promise(("ns".into(), "other".into()), "right".into());
    assert_eq!(steps(&pod, &cluster, "a"), [Step::Bind { volume: "large".into(), claim: "c".into() }]);
}

#[test]
fn two_claims_of_a_pod_get_two_volumes() {
    let mut cluster = cluster();
    set_claim(&mut cluster, "c", "local", None);
    set_claim(&mut cluster, "d", "local", None);
    set_volume(&mut cluster, "v", "local", "1Gi", None);
    let pod = with_claims("p", &["c", "d"]);
    assert!(said(&pod, &cluster).unwrap().iter().all(|said| said.len() == 1), "there is only one");
    set_volume(&mut cluster, "w", "local", "1Gi", None);
    let expected = [("v", "c"), ("w", "d")]
        .map(|(volume, claim)| Step::Bind { volume: volume.into(), claim: claim.into() });
    assert_eq!(steps(&pod, &cluster, "a"), expected);
}

#[test]
fn a_volume_is_made_where_the_class_and_the_room_allow_it() {
    let mut cluster = cluster();
    set_claim(&mut cluster, "c", "waits", None);
    let pod = with_claims("p", &["c"]);
    assert_eq!(steps(&pod, &cluster, "b"), [Step::Provision { claim: "c".into(), node: "b".into() }]);
    cluster
        .storage
        .set_driver(&parse(json!({ "metadata": { "name": "csi" }, "spec": { "storageCapacity": true } })));
    cluster.storage.set_capacity(parse(json!({
        "metadata": { "name": "x", "namespace": "ns" }, "storageClassName": "waits", "capacity": "5Gi",
        "nodeTopology": { "matchLabels": { "topology.kubernetes.io/zone": "zb" } },
    })));
    let full = vec!["node(s) did not have enough free storage".to_owned()];
    assert_eq!(said(&pod, &cluster).unwrap(), [full, vec![]]);
    cluster.storage.set_class(parse(json!({
        "metadata": { "name": "waits" }, "provisioner": "csi", "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{ "matchLabelExpressions": [{ "key": "topology.kubernetes.io/zone", "values": ["za"] }] }],
    })));
    let outside = vec!["node(s) didn't find available persistent volumes to bind".to_owned()];
    assert_eq!(said(&pod, &cluster).unwrap()[1], outside);
}

#[test]
fn a_volume_in_a_zone_is_used_there() {
    let mut cluster = cluster();
    set_claim(&mut cluster, "c", "at-once", Some("v"));
    cluster.storage.set_volume(parse(json!({
        "metadata": { "name": "v", "labels": { "failure-domain.beta.kubernetes.io/zone": "zb__zc" } }, "spec": {},
    })));
    let elsewhere = vec!["node(s) had no available volume zone".to_owned()];
    assert_eq!(said(&with_claims("p", &["c"]), &cluster).unwrap(), [elsewhere, vec![]]);
}

#[test]
fn a_driver_takes_only_so_many_volumes() {
    let mut cluster = cluster();
    for (claim, volume) in [("c", "v"), ("d", "w"), ("e", "x")] {
        set_claim(&mut cluster, claim, "at-once", Some(volume));
        set_volume(&mut cluster, volume, "at-once", "1Gi", None);
    }
    cluster.set_pod(&with_claims("running", &["c", "d"]), "a");
    let full = vec!["node(s) exceed max volume count".to_owned()];
    assert_eq!(said(&with_claims("p", &["e"]), &cluster).unwrap(), [full, vec![]]);
    assert_eq!(said(&with_claims("p", &["c"]), &cluster).unwrap(), FREE, "it is there already");
}

#[test]
fn a_claim_for_one_pod_is_for_one_pod() {
    let mut cluster = cluster();
    cluster.storage.set_claim(parse(json!({
        "metadata": { "name": "c", "namespace": "ns", "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
        "spec": { "volumeName": "v", "accessModes": ["ReadWriteOncePod"] },
    })));
    set_volume(&mut cluster, "v", "at-once", "1Gi", None);
    let pod = with_claims("p", &["c"]);
    assert_eq!(said(&pod, &cluster).unwrap(), FREE);
    cluster.set_pod(&with_claims("running", &["c"]), "a");
    let text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
    assert_eq!(said(&pod, &cluster).unwrap(), [vec![text.to_owned()], vec![text.to_owned()]]);
    cluster.remove_pod("running");
    assert_eq!(said(&pod, &cluster).unwrap(), FREE);
}

#[rstest]
#[case::same(json!({ "gcePersistentDisk": { "pdName": "d" } }), true)]
#[case::another(json!({ "gcePersistentDisk": { "pdName": "e" } }), false)]
#[case::only_one_reads(json!({ "gcePersistentDisk": { "pdName": "d", "readOnly": true } }), true)]
#[case::another_kind(json!({ "awsElasticBlockStore": { "volumeID": "d" } }), false)]
fn a_disk_is_at_a_node_once(#[case] volume: Value, #[case] refused: bool) {
    let mut cluster = cluster();
    let named = |mut volume: Value| {
        volume["name"] = json!("v");
        json!([volume])
    };
    cluster.set_pod(&pod("running", &named(json!({ "gcePersistentDisk": { "pdName": "d" } }))), "a");
    let [on_a, on_b] = said(&pod("p", &named(volume)), &cluster).unwrap();
    assert_eq!(on_a == ["node(s) had no available disk"], refused);
    assert!(on_b.is_empty());
}
