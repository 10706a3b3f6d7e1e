//! Nodes get their Pod addresses from the cluster's ranges.

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Event, Node};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::json;
use wherry_orchestrator::{ControllerOptions, NodeRange, NodeRanges};

use crate::support::{Cluster, wait};

/// A cluster with room for three nodes, one of which is not to be given away.
async fn cluster() -> Cluster {
    let range = |cluster: &str, prefix| NodeRange::new(cluster.parse().unwrap(), prefix).unwrap();
    let ranges = vec![range("10.244.0.0/22", 24), range("fd00::/48", 64)];
    let reserved: Vec<IpNet> = vec!["10.244.0.0/24".parse().unwrap()];
    let node_ranges = Some(NodeRanges { ranges, reserved });
    Cluster::with_controllers(ControllerOptions { node_ranges, ..ControllerOptions::default() }).await
}

fn parts(node: &Node) -> Vec<String> {
    node.spec.as_ref().and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default()
}

/// Waits until the node has parts; returns them.
async fn given(nodes: &Api<Node>, name: &str) -> Vec<String> {
    let is_given = |node: Option<&Node>| node.is_some_and(|node| !parts(node).is_empty());
    let node = wait(await_condition(nodes.clone(), name, is_given)).await.unwrap();
    assert_eq!(node.spec.as_ref().unwrap().pod_cidr.as_ref(), parts(&node).first());
    parts(&node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_given_parts_of_the_ranges_until_none_is_left() {
    let cluster = cluster().await;
    let nodes = Api::<Node>::all(cluster.client.clone());
    let make = async |name: &str, spec: serde_json::Value| {
        let node = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    };
    make("own", json!({"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24"]})).await;
    make("a", json!({})).await;
    assert_eq!(given(&nodes, "a").await, ["10.244.1.0/24", "fd00::/64"]);
    make("b", json!({})).await;
    assert_eq!(given(&nodes, "b").await, ["10.244.3.0/24", "fd00:0:0:1::/64"]);

    make("c", json!({})).await;
    let events = Api::<Event>::namespaced(cluster.client.clone(), "default");
    let told = async {
        loop {
            let found = events.list(&ListParams::default()).await.unwrap().items;
            if let Some(event) =
                found.into_iter().find(|event| event.reason.as_deref() == Some("CIDRNotAvailable"))
            {
                return Ok::<_, kube::Error>(event);
            }
            tokio::task::yield_now().await;
        }
    };
    let told = wait(told).await;
    assert_eq!(told.message.as_deref(), Some("Node c status is now: CIDRNotAvailable"));
    assert_eq!(told.involved_object.name.as_deref(), Some("c"));
    assert!(parts(&nodes.get("c").await.unwrap()).is_empty());
    nodes.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(given(&nodes, "c").await, ["10.244.1.0/24", "fd00:0:0:2::/64"]);
    let own = nodes.get("own").await.unwrap();
    assert_eq!((own.name_any(), parts(&own)), ("own".to_owned(), vec!["10.244.2.0/24".to_owned()]));
    cluster.plane.shutdown().await;
}
