//! Tests of the order in which Pods are tried, and of what wakes them.

use serde_json::json;

use super::*;

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let object = json!({ "metadata": { "name": name, "uid": name }, "spec": { "priority": priority, "containers": [] } });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(object).unwrap())))
}

fn pop(queue: &mut Queue) -> Option<String> {
    queue.pop(Instant::now()).map(|pod| pod.name.clone())
}

fn resources() -> BTreeSet<&'static str> {
    BTreeSet::from(["NodeResourcesFit"])
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
    queue.park("a", resources());
    for change in [Change::NodeLabels, Change::NodeTaints] {
        queue.wake(change);
        assert_eq!(pop(&mut queue), None, "{change:?}");
    }
    for change in [Change::PodGone, Change::NodeAllocatable, Change::NodeAdded] {
        queue.wake(change);
        assert_eq!(pop(&mut queue).as_deref(), Some("a"), "{change:?}");
        queue.park("a", resources());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_cycle_is_not_lost() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    pop(&mut queue);
    queue.wake(Change::PodGone);
    queue.park("a", resources());
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn new_pods_come_before_those_that_found_nothing() {
    let mut queue = Queue::default();
    queue.set(pod("tried", 9));
    pop(&mut queue);
    queue.park("tried", resources());
    queue.wake(Change::PodGone);
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
    queue.park("parked", resources());
    queue.wake(Change::PodGone);
    queue.remove("parked");
    pop(&mut queue);
    queue.back_off("backing off", Instant::now());
    queue.remove("backing off");
    pop(&mut queue);
    queue.remove("cycling");
    queue.park("cycling", resources());
    queue.wake(Change::NodeAdded);
    assert_eq!((pop(&mut queue), queue.next_due()), (None, None));
}
