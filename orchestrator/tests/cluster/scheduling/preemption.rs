//! Room for Pods of higher priority.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{FOO, condition, node_of, pod};
use crate::support::{Cluster, wait};

/// Two nodes with 5 of the resource each, and two priorities.
async fn cluster() -> (Cluster, crate::support::kubelet::Kubelet) {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    for node in ["node-0", "node-1"] {
        cluster.give_foo(node, "5").await;
    }
    for (name, value) in [("low", 1), ("medium", 100), ("high", 1_000)] {
        cluster.priority(name, value).await;
    }
    (cluster, kubelet)
}

fn with(class: &str) -> Value {
    json!({"priorityClassName": class})
}

/// Fills the nodes: one Pod of low priority, three of medium.
async fn fill(cluster: &Cluster) {
    for (name, class) in [("pod0", "low"), ("pod1", "medium"), ("pod2", "medium"), ("pod3", "medium")] {
        cluster.run(pod(name, (FOO, "2"), with(class))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_basic_preemption() {
    let (cluster, _kubelet) = cluster().await;
    fill(&cluster).await;
    let freed = node_of(&cluster.get::<Pod>("pod0").await).unwrap().to_owned();
    assert_eq!(cluster.run(pod("preemptor", (FOO, "2"), with("high"))).await, freed);
    cluster.until_gone::<Pod>("pod0").await;
    for name in ["pod1", "pod2", "pod3"] {
        assert!(cluster.get::<Pod>(name).await.metadata.deletion_timestamp.is_none(), "{name}");
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_preemption_for_critical_pod() {
    let (cluster, _kubelet) = cluster().await;
    fill(&cluster).await;
    let critical = pod("critical-pod", (FOO, "2"), with("system-cluster-critical"));
    let system = Api::<Pod>::namespaced(cluster.client.clone(), "kube-system");
    system.create(&PostParams::default(), &serde_json::from_value(critical).unwrap()).await.unwrap();
    let runs = |found: Option<&Pod>| found.is_some_and(super::is_running);
    Box::pin(wait(kube::runtime::wait::await_condition(system, "critical-pod", runs))).await;
    cluster.until_gone::<Pod>("pod0").await;
    let left = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(Pod::name_any).collect::<Vec<_>>(), ["pod1", "pod2", "pod3"]);
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_the_disruptiontarget_condition_is_added_to_the_preempted_pod() {
    let (cluster, _kubelet) = cluster().await;
    let mut victim = pod(
        "victim",
        (FOO, "5"),
        json!({
            "priorityClassName": "low", "nodeSelector": {"kubernetes.io/hostname": "node-0"},
        }),
    );
    victim["metadata"]["finalizers"] = json!(["example.com/test-finalizer"]);
    cluster.run(victim).await;
    let preemptor = json!({
        "priorityClassName": "high", "nodeSelector": {"kubernetes.io/hostname": "node-0"},
    });
    cluster.create::<Pod>(pod("preemptor", (FOO, "5"), preemptor)).await.unwrap();
    let ends =
        |pod: &Pod| pod.metadata.deletion_timestamp.is_some() && condition(pod, "DisruptionTarget").is_some();
    let victim = cluster.until::<Pod>("victim", ends).await;
    let (status, reason, message) = condition(&victim, "DisruptionTarget").unwrap();
    assert_eq!((&*status, &*reason), ("True", "PreemptionByScheduler"));
    assert_eq!(message, "default-scheduler: preempting to accommodate a higher priority pod");
    cluster.patch::<Pod>("victim", json!({"metadata": {"finalizers": null}})).await;
    cluster.until::<Pod>("preemptor", super::is_running).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pod_preemption_verification() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.give_foo("node-0", "1000").await;
    for (name, value) in [("p1", 1), ("p2", 2), ("p3", 3), ("p4", 4)] {
        cluster.priority(name, value).await;
    }
    let set = |number: u32, amount: &str| {
        let mut template = pod("unused", (FOO, amount), with(&format!("p{number}")));
        let labels = json!({"app": format!("pod{number}")});
        template["metadata"] = json!({"labels": labels});
        json!({
            "metadata": {"name": format!("rs-pod{number}")},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        })
    };
    let mut first = Vec::new();
    for (number, amount) in [(1, "200"), (2, "300"), (3, "450")] {
        cluster.create::<ReplicaSet>(set(number, amount)).await.unwrap();
        let app = format!("app=pod{number}");
        let pods =
            cluster.until_all::<Pod>(&app, |pods| pods.len() == 1 && super::is_running(&pods[0])).await;
        first.push(pods[0].name_any());
    }
    cluster.create::<ReplicaSet>(set(4, "500")).await.unwrap();
    cluster.until_all::<Pod>("app=pod4", |pods| pods.len() == 1 && super::is_running(&pods[0])).await;
    // Those who had to end are replaced, and their replacements wait.
    for (number, old) in [(1, &first[0]), (2, &first[1])] {
        let waits = |pod: &Pod| pod.name_any() != *old && super::unschedulable(pod).is_some();
        cluster
            .until_all::<Pod>(&format!("app=pod{number}"), |pods| pods.len() == 1 && waits(&pods[0]))
            .await;
    }
    assert_eq!(cluster.list::<Pod>("app=pod3").await[0].name_any(), first[2]);
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_of_a_nominated_pod_is_kept_while_its_victim_ends() {
    let (cluster, kubelet) = cluster().await;
    for name in ["pod0", "pod1"] {
        cluster.run(pod(name, (FOO, "5"), with("low"))).await;
    }
    kubelet.linger(|_| true);
    cluster.create::<Pod>(pod("preemptor", (FOO, "3"), with("high"))).await.unwrap();
    let nominated = |pod: &Pod| pod.status.as_ref().and_then(|status| status.nominated_node_name.clone());
    let preemptor = cluster.until::<Pod>("preemptor", |pod| nominated(pod).is_some()).await;
    assert_eq!(
        super::unschedulable(&preemptor).unwrap(),
        "0/2 nodes are available: 2 Insufficient example.com/foo."
    );
    let node = nominated(&preemptor).unwrap();
    let ends = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    let pods = cluster.until_all::<Pod>("app in (pod0, pod1)", |pods| pods.iter().any(|pod| ends(pod))).await;
    let ending: Vec<_> = pods.iter().filter(|pod| ends(pod)).collect();
    assert_eq!(ending.len(), 1, "nobody ends without need");
    assert_eq!(node_of(ending[0]), Some(&*node));
    // Another one of the same priority cannot have the room, but makes some for itself.
    let small = pod("small", (FOO, "2"), with("medium"));
    cluster.create::<Pod>(small).await.unwrap();
    kubelet.linger(|_| false);
    cluster.until::<Pod>("preemptor", |pod| node_of(pod) == Some(&*node) && super::is_running(pod)).await;
    cluster.until::<Pod>("small", super::is_running).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_are_kept_where_others_can_end_instead() {
    let (cluster, _kubelet) = cluster().await;
    let held = json!({
        "metadata": {"name": "held"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "pod0"}}},
    });
    cluster.create::<PodDisruptionBudget>(held).await.unwrap();
    cluster.run(pod("pod0", (FOO, "5"), with("low"))).await;
    cluster.run(pod("pod1", (FOO, "5"), with("medium"))).await;
    cluster
        .until::<PodDisruptionBudget>("held", |budget| {
            budget.status.as_ref().is_some_and(|status| status.current_healthy == Some(1))
        })
        .await;
    cluster.run(pod("preemptor", (FOO, "5"), with("high"))).await;
    assert!(cluster.get::<Pod>("pod0").await.metadata.deletion_timestamp.is_none());
    cluster.until_gone::<Pod>("pod1").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_preempts_waits() {
    let (cluster, _kubelet) = cluster().await;
    for name in ["pod0", "pod1"] {
        cluster.run(pod(name, (FOO, "5"), with("low"))).await;
    }
    let class = json!({"metadata": {"name": "never"}, "value": 5_000, "preemptionPolicy": "Never"});
    let classes = Api::<k8s_openapi::api::scheduling::v1::PriorityClass>::all(cluster.client.clone());
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    let text = cluster.refused(pod("patient", (FOO, "1"), with("never"))).await;
    assert_eq!(
        text,
        "0/2 nodes are available: 2 Insufficient example.com/foo. preemption: not eligible due to \
         preemptionPolicy=Never."
    );
    cluster.delete::<Pod>("pod1").await;
    cluster.until::<Pod>("patient", super::is_running).await;
    cluster.plane.shutdown().await;
}
