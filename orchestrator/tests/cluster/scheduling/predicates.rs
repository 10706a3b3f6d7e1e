//! Which nodes a Pod may go to.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{FOO, pod};
use crate::support::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_resource_limits() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    for (name, amount) in [("a", "70"), ("b", "60")] {
        cluster.run(pod(name, ("cpu", amount), json!({}))).await;
    }
    let text = cluster.refused(pod("too-much", ("cpu", "50"), json!({}))).await;
    let victims = "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    assert_eq!(text, format!("0/2 nodes are available: 2 Insufficient cpu. {victims}"));
    // What fits beside them still does, and room that comes is used at once.
    cluster.run(pod("fits", ("cpu", "40"), json!({}))).await;
    cluster.delete::<Pod>("a").await;
    cluster.until::<Pod>("too-much", super::is_running).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_node_selector_matching() {
    let (cluster, _kubelet) = Cluster::with_nodes(3).await;
    cluster.label_node_with("node-1", json!({"kubernetes.io/e2e-label": "42"})).await;
    let wanted = json!({"nodeSelector": {"kubernetes.io/e2e-label": "42"}});
    assert_eq!(cluster.run(pod("labelled", ("cpu", "1"), wanted)).await, "node-1");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_node_selector_not_matching() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let text = cluster.refused(pod("p", ("cpu", "1"), json!({"nodeSelector": {"label": "nonempty"}}))).await;
    assert_eq!(
        text,
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are \
         available: 2 Preemption is not helpful for scheduling."
    );
    cluster.label_node_with("node-0", json!({"label": "nonempty"})).await;
    cluster.until::<Pod>("p", |pod| super::node_of(pod) == Some("node-0")).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduling_hostport_and_protocol_match_hostips_different_but_one_is_default_hostip_0_0_0_0() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let with = |ip: &str, protocol: &str| {
        let port = json!({"containerPort": 80, "hostPort": 54_322, "hostIP": ip, "protocol": protocol});
        json!({
            "nodeSelector": {"kubernetes.io/hostname": "node-0"},
            "containers": [{"name": "c", "image": "i", "ports": [port]}],
        })
    };
    cluster.run(pod("pod4", ("cpu", "1"), with("0.0.0.0", "TCP"))).await;
    let text = cluster.refused(pod("pod5", ("cpu", "1"), with("127.0.0.1", "TCP"))).await;
    assert!(
        text.starts_with(
            "0/2 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, 1 node(s) didn't \
             match Pod's node affinity/selector."
        ),
        "{text}"
    );
    cluster.run(pod("another-protocol", ("cpu", "1"), with("127.0.0.1", "UDP"))).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_hold_a_pod_and_a_resource_that_comes_lets_it_go() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster
        .create::<Pod>(pod("gated", (FOO, "1"), json!({"schedulingGates": [{"name": "g"}]})))
        .await
        .unwrap();
    let gated = |pod: &Pod| {
        super::condition(pod, "PodScheduled").is_some_and(|(_, reason, _)| reason == "SchedulingGated")
    };
    cluster.until::<Pod>("gated", gated).await;
    cluster.give_foo("node-0", "1").await;
    // One that comes later and is not held takes the place.
    cluster.run(pod("free", (FOO, "1"), json!({}))).await;
    cluster.patch::<Pod>("gated", json!({"spec": {"schedulingGates": null}})).await;
    cluster.until::<Pod>("gated", |pod| super::unschedulable(pod).is_some()).await;
    cluster.delete::<Pod>("free").await;
    cluster.until::<Pod>("gated", super::is_running).await;
    cluster.plane.shutdown().await;
}
