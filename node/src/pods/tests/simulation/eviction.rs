//! A node that is short of memory.

use super::*;
use crate::eviction::{EvictionSettings, Signal, Supply};

/// Pods end at once with less than 100 free, and with less than 200 when that lasts for a minute.
pub(super) fn settings() -> EvictionSettings {
    EvictionSettings {
        hard: "memory.available<100".parse().unwrap(),
        soft: "memory.available<200".parse().unwrap(),
        soft_grace: "memory.available=1m".parse().unwrap(),
        max_pod_grace: 20,
        ..EvictionSettings::default()
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{name}")
}

impl Node {
    fn leave(&self, free: u64) {
        *self.supplies.lock() = Supplies::from([(Signal::MemoryAvailable, Supply { free, all: 1000 })]);
    }

    /// A pod of one container that is called like it.
    async fn run(&self, name: &str, requested: &str, priority: i32) {
        let requests = json!({ "requests": { "memory": requested } });
        let container = json!({ "name": name, "image": "app:v1", "imagePullPolicy": "IfNotPresent",
            "resources": requests });
        let spec = json!({ "nodeName": "node-1", "priority": priority, "containers": [container] });
        let metadata =
            json!({ "name": name, "namespace": "shop", "uid": format!("u-{name}"), "generation": 1 });
        self.api.put(
            &path(name),
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
            "status": { "phase": "Pending" } }),
        );
        self.api.wait_for(&path(name), is_ready).await;
    }

    async fn until_failed(&self, name: &str) -> Value {
        self.api.wait_for(&path(name), |pod| pod["status"]["phase"] == "Failed").await["status"].clone()
    }

    fn phase(&self, name: &str) -> Value {
        self.api.get(&path(name)).unwrap()["status"]["phase"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn pods_end_one_after_the_other_until_there_is_enough_and_critical_ones_never() {
    let node = Node::started(false).await;
    for (name, requested, priority, taken) in [
        ("critical", "0", 2_000_000_000, 900),
        ("within", "500", 0, 400),
        ("important", "10", 5, 300),
        ("over", "10", 0, 50),
    ] {
        node.wasmtime.take_memory(name, taken);
        node.run(name, requested, priority).await;
    }
    node.leave(99);
    let status = node.until_failed("over").await;
    assert_eq!(
        status["message"],
        "The node was low on resource: memory. Threshold quantity: 100, available: 99. Container over was using 50, \
         request is 10, has larger consumption of memory. "
    );
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(node.api.wait_event("EvictionThresholdMet").await, "Attempting to reclaim memory");
    assert_eq!(node.wasmtime.grace(), Some(Duration::from_secs(1)));
    node.until_failed("important").await;
    node.until_failed("within").await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(node.phase("critical"), "Running");
    let told: Vec<String> = node
        .api
        .statuses()
        .iter()
        .filter_map(|status| status["message"].as_str().map(str::to_owned))
        .collect();
    let first = |is: &dyn Fn(&str) -> bool| told.iter().position(|message| is(message)).unwrap();
    let over = first(&|message| message.contains("Container over"));
    let important = first(&|message| message.contains("Container important"));
    let within = first(&|message| message.ends_with("available: 99. "));
    assert!(over < important && important < within, "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_leaves_pods_time() {
    let node = Node::started(false).await;
    node.wasmtime.take_memory("over", 50);
    node.run("over", "10", 0).await;
    node.leave(150);
    tokio::time::sleep(Duration::from_secs(50)).await;
    node.leave(250);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(node.phase("over"), "Running");
    node.leave(150);
    node.until_failed("over").await;
    assert_eq!(node.wasmtime.grace(), Some(Duration::from_secs(20)));
}
