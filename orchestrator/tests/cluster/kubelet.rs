//! Holds the pretended kubelet to what the other tests build on.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::Fate;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_become_what_the_test_says() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    kubelet.make("bad", Fate::Failed(3));
    kubelet.rule(|pod| (pod.metadata.name.as_deref() == Some("good")).then_some(Fate::Waiting));
    for name in ["good", "bad"] {
        cluster.create::<Pod>(pod(name)).await.unwrap();
    }
    let ip = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
    cluster.until::<Pod>("good", |pod| phase(pod) == "Pending" && ip(pod)).await;
    kubelet.make("good", Fate::Running);
    let good = cluster.until::<Pod>("good", |pod| phase(pod) == "Running").await;
    cluster.until::<Pod>("bad", |pod| phase(pod) == "Failed").await;
    kubelet.make_this(&good, Fate::Succeeded);
    cluster.until::<Pod>("good", |pod| phase(pod) == "Succeeded").await;
    cluster.create::<Pod>(pod("stays")).await.unwrap();
    cluster.until::<Pod>("stays", |pod| phase(pod) == "Running").await;
    kubelet.linger(|_| true);
    cluster.delete::<Pod>("stays").await;
    cluster.until::<Pod>("stays", |pod| pod.metadata.deletion_timestamp.is_some()).await;
    kubelet.linger(|_| false);
    cluster.until_gone::<Pod>("stays").await;
    assert_eq!(cluster.list::<Pod>("app=x").await.len(), 2);
    cluster.patch::<Pod>("good", json!({"metadata": {"labels": {"app": "y"}}})).await;
    let left = cluster.until_all::<Pod>("app=x", |pods| pods.len() == 1).await;
    assert_eq!(phase(&left[0]), phase(&cluster.get::<Pod>("bad").await));
    cluster.plane.shutdown().await;
}
