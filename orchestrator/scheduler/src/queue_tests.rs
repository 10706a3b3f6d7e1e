//! Tests of the order in which Pods are tried, and of what wakes them.

use serde_json::json;

use super::*;
use crate::cluster::{NodeChanges, NodeIndex};
use crate::plugins::Plugin;

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let object = json!({ "metadata": { "name": name, "uid": name }, "spec": { "priority": priority, "containers": [] } });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(object).unwrap())))
}

fn pop(queue: &mut Queue) -> Option<String> {
    queue.pop(Instant::now()).map(|pod| pod.name.clone())
}

fn resources() -> PluginSet {
    PluginSet::from_iter([Plugin::NodeResourcesFit])
}

fn cluster() -> Cluster {
    let node =
        json!({ "metadata": { "name": "n" }, "status": { "allocatable": { "cpu": "1", "pods": "9" } } });
    let mut cluster = Cluster::default();
    cluster.set_node(&serde_json::from_value(node).unwrap());
    cluster
}

fn node() -> NodeIndex {
    NodeIndex::new(0)
}

fn gone() -> Event {
    Event::PodGone { template: pod("gone", 0).template.clone(), node: node() }
}

fn changed(changes: NodeChanges) -> Event {
    Event::NodeChanged(node(), changes)
}

#[tokio::test(start_paused = true)]
async fn higher_priority_first_then_who_came_first() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        queue.set(pod(name, priority));
    }
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert_eq!(order, ["b", "d", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn only_a_change_that_may_help_wakes() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    pop(&mut queue);
    queue.park("a", resources(), &cluster());
    let nothing = NodeChanges::default();
    for changes in [NodeChanges { labels: true, ..nothing }, NodeChanges { taints: true, ..nothing }] {
        let change = changed(changes);
        queue.wake(&change, &cluster());
        assert_eq!(pop(&mut queue), None, "{change:?}");
    }
    let allocatable = changed(NodeChanges { allocatable: true, ..nothing });
    for change in [gone(), allocatable, Event::NodeAdded(node())] {
        queue.wake(&change, &cluster());
        assert_eq!(pop(&mut queue).as_deref(), Some("a"), "{change:?}");
        queue.park("a", resources(), &cluster());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_cycle_is_not_lost() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    pop(&mut queue);
    queue.wake(&gone(), &cluster());
    queue.park("a", resources(), &cluster());
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn new_pods_come_before_those_that_found_nothing() {
    let mut queue = Queue::default();
    queue.set(pod("tried", 9));
    pop(&mut queue);
    queue.park("tried", resources(), &cluster());
    queue.wake(&gone(), &cluster());
    queue.set(pod("new", 0));
    assert_eq!(pop(&mut queue).as_deref(), Some("new"));
    assert_eq!(pop(&mut queue).as_deref(), Some("tried"));
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    for expected in [1, 2, 4, 8, 10, 10] {
        assert_eq!(pop(&mut queue).as_deref(), Some("a"));
        queue.back_off("a", Instant::now());
        assert_eq!(pop(&mut queue), None);
        let due = queue.next_due().unwrap();
        assert_eq!((due - Instant::now()).as_secs(), expected);
        tokio::time::advance(due - Instant::now()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_pod_is_in_no_line() {
    let mut queue = Queue::default();
    for name in ["active", "parked", "backing off", "cycling"] {
        queue.set(pod(name, 0));
    }
    queue.remove("active");
    pop(&mut queue);
    queue.park("parked", resources(), &cluster());
    queue.wake(&gone(), &cluster());
    queue.remove("parked");
    pop(&mut queue);
    queue.back_off("backing off", Instant::now());
    queue.remove("backing off");
    pop(&mut queue);
    queue.remove("cycling");
    queue.park("cycling", resources(), &cluster());
    queue.wake(&Event::NodeAdded(node()), &cluster());
    assert_eq!((pop(&mut queue), queue.next_due()), (None, None));
}
