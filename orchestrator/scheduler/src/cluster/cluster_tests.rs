//! Tests of the aggregates: whatever happens, they are what a recount gives.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::pod::HostPort;
use crate::pod::resources::Resources;

fn pod(uid: usize, size: i64) -> PodInfo {
    let object = json!({
        "metadata": { "name": format!("p{uid}"), "namespace": "ns", "uid": format!("u{uid}") },
        "spec": { "containers": [{
            "name": "c",
            "ports": [{ "containerPort": 80, "hostPort": 8000 + size }],
            "resources": { "requests": { "cpu": format!("{size}m"), "memory": "1Mi", "example.com/gpu": (size % 2).to_string() } },
        }] },
    });
    PodInfo::new(Arc::new(serde_json::from_value(object).unwrap()))
}

fn node(name: usize, cpu: i64) -> Node {
    let object = json!({
        "metadata": { "name": format!("n{name}") },
        "status": { "allocatable": { "cpu": cpu.to_string(), "memory": "1Gi", "pods": "110" } },
    });
    serde_json::from_value(object).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    SetNode(usize, i64),
    RemoveNode(usize),
    Assume { pod: usize, size: i64, node: usize },
    Forget(usize),
    SetPod { pod: usize, size: i64, node: usize },
    RemovePod(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (pods, sizes, nodes) = (0..12_usize, 1..5_i64, 0..3_usize);
    prop_oneof![
        (nodes.clone(), 1..9_i64).prop_map(|(node, cpu)| Step::SetNode(node, cpu)),
        nodes.clone().prop_map(Step::RemoveNode),
        (pods.clone(), sizes.clone(), nodes.clone()).prop_map(|(pod, size, node)| Step::Assume {
            pod,
            size,
            node
        }),
        pods.clone().prop_map(Step::Forget),
        (pods.clone(), sizes, nodes).prop_map(|(pod, size, node)| Step::SetPod { pod, size, node }),
        pods.prop_map(Step::RemovePod),
    ]
}

proptest! {
    #[test]
    fn aggregates_are_what_a_recount_gives(steps in prop::collection::vec(step(), 1..80)) {
        let mut cluster = Cluster::default();
        // Which Pod is where, at which size, and whether it is only assumed.
        let mut model = BTreeMap::<usize, (usize, i64, bool)>::new();
        for step in steps {
            match step {
                Step::SetNode(name, cpu) => drop(cluster.set_node(&node(name, cpu))),
                Step::RemoveNode(name) => drop(cluster.remove_node(&format!("n{name}"))),
                Step::Assume { pod: uid, size, node } => {
                    // Only known nodes are decided for.
                    if let Some(index) = cluster.node_named(&format!("n{node}")) {
                        cluster.assume(&pod(uid, size), index);
                        model.insert(uid, (node, size, true));
                    }
                }
                Step::SetPod { pod: uid, size, node } => {
                    cluster.set_pod(&pod(uid, size), &format!("n{node}"));
                    model.insert(uid, (node, size, false));
                }
                Step::Forget(uid) => {
                    let was_assumed = model.get(&uid).is_some_and(|(_, _, assumed)| *assumed);
                    prop_assert_eq!(cluster.forget(&format!("u{uid}")).is_some(), was_assumed);
                    if was_assumed {
                        model.remove(&uid);
                    }
                }
                Step::RemovePod(uid) => {
                    let was_placed = model.remove(&uid).is_some();
                    prop_assert_eq!(cluster.remove_pod(&format!("u{uid}")).is_some(), was_placed);
                }
            }
            for info in &cluster.nodes {
                let (mut requested, mut scored, mut ports) = (Resources::default(), Resources::default(), HashMap::new());
                for (uid, (node, size, _)) in &model {
                    if format!("n{node}") == info.name {
                        let pod = pod(*uid, *size);
                        requested += &pod.template.requests;
                        scored += &pod.template.scored;
                        for port in &pod.template.ports {
                            *ports.entry(port.clone()).or_insert(0_usize) += 1;
                        }
                    }
                }
                prop_assert_eq!(&info.requested, &requested);
                prop_assert_eq!(&info.scored, &scored);
                prop_assert_eq!(&info.ports, &ports);
            }
            let counted: usize = cluster.nodes.iter().map(|info| info.pods.len()).sum();
            prop_assert_eq!(counted, model.len());
        }
    }
}

#[test]
fn pods_may_be_seen_before_their_node() {
    let mut cluster = Cluster::default();
    cluster.set_pod(&pod(1, 3), "n0");
    assert_eq!((cluster.nodes().count(), cluster.node_count()), (0, 0));
    assert!(matches!(cluster.set_node(&node(0, 4)), Event::NodeAdded(_)));
    let (_, info) = cluster.nodes().next().unwrap();
    assert_eq!((info.requested.cpu, info.allocatable.cpu), (3, 4000));
    assert!(info.ports.contains_key(&HostPort { protocol: "TCP".into(), ip: "0.0.0.0".into(), port: 8003 }));
}

#[test]
fn a_confirmed_pod_is_not_forgotten() {
    let mut cluster = Cluster::default();
    cluster.set_node(&node(0, 4));
    cluster.assume(&pod(1, 3), cluster.node_named("n0").unwrap());
    assert!(!cluster.counts(&pod(1, 3)), "it is only assumed");
    assert!(cluster.set_pod(&pod(1, 3), "n0").is_none(), "nothing changed by it");
    assert!(cluster.counts(&pod(1, 3)));
    assert!(!cluster.counts(&pod(1, 4)), "its requests changed");
    assert!(cluster.forget("u1").is_none());
    assert!(cluster.is_placed("u1"));
}

#[test]
fn lifted_pods_are_put_back_as_they_were() {
    let mut cluster = Cluster::default();
    cluster.set_node(&node(0, 4));
    for uid in 0..4 {
        cluster.set_pod(&pod(uid, 3), "n0");
    }
    let index = cluster.node_named("n0").unwrap();
    let pods: Vec<_> = cluster.pods_on(index).map(|(pod, _)| pod).collect();
    let lifted = [pods[1], pods[3]];
    let state = |cluster: &Cluster| (cluster.node(index).requested.cpu, cluster.pods_on(index).count());
    for pod in lifted {
        cluster.lift(pod);
    }
    assert_eq!(state(&cluster), (6, 2));
    for pod in lifted {
        cluster.put_back(pod);
    }
    assert_eq!(state(&cluster), (12, 4));
    cluster.release(lifted[0]);
    assert_eq!(state(&cluster), (9, 4), "only its node's sums know");
    cluster.occupy(lifted[0]);
    assert_eq!(cluster.node(index).requested.cpu, 12);
}
