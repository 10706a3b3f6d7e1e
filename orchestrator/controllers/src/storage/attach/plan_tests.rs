//! Plans of single steps, and what waits for what.

use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn need(node: &str, is_exclusive: bool) -> (String, Need) {
    let pod = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": []}});
    let need = Need {
        volume: "pv".to_owned(),
        driver: "d".to_owned(),
        handle: "h".to_owned(),
        node: node.to_owned(),
        is_exclusive,
        pods: vec![Arc::new(serde_json::from_value(pod).unwrap())],
    };
    (need.attachment(), need)
}

fn attachment(node: &str, attached: bool) -> Value {
    json!({
        "metadata": {"name": wherry_api::csi::attachment_name("d", "h", node)},
        "spec": {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "pv"}},
        "status": {"attached": attached},
    })
}

fn node(name: &str, in_use: &[&str], ready: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {
        "volumesInUse": in_use, "conditions": [{"type": "Ready", "status": ready}],
    }})
}

fn world(needs: &[(String, Need)], attachments: &[Value], nodes: &[Value]) -> World {
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d", "volumeHandle": "h"}}});
    World {
        needs: needs.iter().cloned().collect(),
        attachments: attachments
            .iter()
            .map(|one| Arc::new(serde_json::from_value(one.clone()).unwrap()))
            .collect(),
        nodes: nodes.iter().map(|one| Arc::new(serde_json::from_value(one.clone()).unwrap())).collect(),
        volumes: vec![Arc::new(serde_json::from_value(volume).unwrap())],
    }
}

const USED: &[&str] = &["kubernetes.io/csi/d^h"];

#[test]
fn what_a_pod_needs_is_attached_once_and_named_when_it_is() {
    let nodes = [node("a", &[], "True")];
    let plan = |attachments: &[Value]| {
        super::plan(&world(&[need("a", true)], attachments, &nodes), &mut BTreeMap::new(), at(0))
    };
    assert_eq!(plan(&[]).attach.len(), 1);
    let asked = plan(&[attachment("a", false)]);
    assert!(asked.attach.is_empty() && asked.report.is_empty() && asked.tell.is_empty());
    let done = plan(&[attachment("a", true)]);
    assert_eq!(done.report["a"], BTreeSet::from([USED[0].to_owned()]));
    assert_eq!(done.tell[0].3, "AttachVolume.Attach succeeded for volume \"pv\" ");
    assert!(done.detach.is_empty());
}

#[test]
fn a_volume_for_one_node_waits_until_the_other_has_let_go() {
    let nodes = [node("a", USED, "True"), node("b", &[], "True")];
    let plan = |exclusive| {
        let world = world(&[need("b", exclusive)], &[attachment("a", true)], &nodes);
        super::plan(&world, &mut BTreeMap::new(), at(0))
    };
    let refused = plan(true);
    assert!(refused.attach.is_empty() && refused.detach.is_empty());
    assert!(refused.tell[0].3.starts_with("Multi-Attach error for volume \"pv\""));
    assert_eq!(plan(false).attach.len(), 1);
}

#[test]
fn what_nobody_needs_is_detached_when_its_node_does_not_use_it_or_is_lost() {
    let mut unneeded = BTreeMap::new();
    let mut plan = |node: &[Value], second| {
        super::plan(&world(&[], &[attachment("a", true)], node), &mut unneeded, at(second))
    };
    let used = plan(&[node("a", USED, "True")], 0);
    assert!(used.detach.is_empty() && used.look_again.is_none());
    let silent = plan(&[node("a", USED, "Unknown")], 100);
    assert_eq!((silent.detach.len(), silent.look_again), (0, Some(std::time::Duration::from_secs(260))));
    assert_eq!(plan(&[node("a", USED, "Unknown")], 360).detach.len(), 1);
    let free = plan(&[node("a", &[], "True")], 0);
    assert_eq!(free.detach.len(), 1);
    assert!(free.report.is_empty(), "it is not named while it is detached");
    assert_eq!(plan(&[], 0).detach.len(), 1);
    let mut off = node("a", USED, "Unknown");
    off["spec"]["taints"] = json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]);
    assert_eq!(plan(&[off], 0).detach.len(), 1);
}

#[test]
fn attachments_of_others_are_left_alone() {
    let mut foreign = attachment("a", true);
    foreign["metadata"]["name"] = json!("by-hand");
    let plan = super::plan(&world(&[], &[foreign], &[node("a", &[], "True")]), &mut BTreeMap::new(), at(0));
    assert!(plan.detach.is_empty() && plan.report.is_empty());
}
