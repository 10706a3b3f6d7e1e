//! Tests of the order in which Pods are tried, and of what wakes them.

use serde_json::{Value, json};

use super::*;
use crate::plugins::Plugin;

/// What happens in these tests: something that helps those whom this plugin refused.
type Event = (Plugin, Help);

fn pod_of(name: &str, spec: &Value) -> Arc<PodInfo> {
    let object = json!({ "metadata": { "name": name, "uid": name }, "spec": spec });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(object).unwrap())))
}

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    pod_of(name, &json!({ "priority": priority, "containers": [] }))
}

fn queue() -> Queue<Event> {
    Queue::new(Backoff::default())
}

fn set(queue: &mut Queue<Event>, name: &str, priority: i32) {
    queue.set(pod(name, priority), Instant::now());
}

fn pop(queue: &mut Queue<Event>) -> Option<String> {
    queue.pop(Instant::now()).map(|popped| popped.pod.name.clone())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the queue hands out references to what happened")]
fn help(event: &Event, _: &PodInfo, rejection: PluginSet) -> Help {
    if rejection.contains(event.0) { event.1 } else { Help::No }
}

fn park(queue: &mut Queue<Event>, name: &str) {
    queue.park(name, [FIT].into_iter().collect(), Instant::now(), help);
}

fn wake(queue: &mut Queue<Event>, event: Event) {
    queue.wake(&event, (Instant::now(), "Test"), |rejection| rejection.contains(event.0), help);
}

const FIT: Plugin = Plugin::NodeResourcesFit;
const SURELY: Event = (FIT, Help::Surely);
const MAYBE: Event = (FIT, Help::Maybe);

async fn rest(queue: &Queue<Event>) -> Duration {
    let wait = queue.next_due().unwrap() - Instant::now();
    tokio::time::advance(wait).await;
    wait
}

#[tokio::test(start_paused = true)]
async fn higher_priority_first_then_who_came_first() {
    let mut queue = queue();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        set(&mut queue, name, priority);
    }
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert_eq!(order, ["b", "d", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn only_an_event_that_may_help_wakes() {
    let mut queue = queue();
    set(&mut queue, "a", 0);
    pop(&mut queue);
    park(&mut queue, "a");
    for event in [(Plugin::NodePorts, Help::Surely), (FIT, Help::No)] {
        wake(&mut queue, event);
        assert_eq!(pop(&mut queue), None, "{event:?}");
    }
    for event in [MAYBE, SURELY] {
        wake(&mut queue, event);
        assert_eq!(pop(&mut queue).as_deref(), Some("a"), "{event:?}");
        park(&mut queue, "a");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_during_the_cycle_is_not_lost() {
    let mut queue = queue();
    set(&mut queue, "a", 0);
    set(&mut queue, "b", 0);
    pop(&mut queue);
    wake(&mut queue, SURELY);
    pop(&mut queue);
    park(&mut queue, "a");
    park(&mut queue, "b");
    assert_eq!(pop(&mut queue).as_deref(), Some("a"), "it was in its cycle when the event came");
    assert_eq!(pop(&mut queue), None, "its cycle began after the event");
}

#[tokio::test(start_paused = true)]
async fn who_may_be_helped_goes_behind_equals_and_before_lower_ones() {
    let mut queue = queue();
    set(&mut queue, "tried", 5);
    pop(&mut queue);
    park(&mut queue, "tried");
    wake(&mut queue, MAYBE);
    set(&mut queue, "low", 1);
    set(&mut queue, "equal", 5);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert_eq!(order, ["equal", "tried", "low"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_surely_helped_does_not_back_off() {
    let mut queue = queue();
    set(&mut queue, "tried", 5);
    pop(&mut queue);
    park(&mut queue, "tried");
    set(&mut queue, "later", 5);
    wake(&mut queue, SURELY);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
    assert_eq!(order, ["tried", "later"]);
}

#[tokio::test(start_paused = true)]
async fn backing_off_ends() {
    let mut queue = queue();
    set(&mut queue, "tried", 0);
    pop(&mut queue);
    park(&mut queue, "tried");
    wake(&mut queue, MAYBE);
    assert_eq!(queue.waiting(), Waiting { backing_off: 1, ..Waiting::default() });
    assert_eq!(rest(&queue).await, Duration::from_secs(1));
    set(&mut queue, "new", 0);
    assert_eq!(pop(&mut queue).as_deref(), Some("tried"), "rested, it stands where it stood");
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_though_nobody_else_waits() {
    let mut queue = queue();
    set(&mut queue, "a", 0);
    for expected in [1, 2, 4, 8, 10, 10] {
        assert_eq!(pop(&mut queue).as_deref(), Some("a"));
        queue.back_off("a", Instant::now());
        wake(&mut queue, SURELY);
        assert_eq!(pop(&mut queue), None);
        assert_eq!(rest(&queue).await.as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn after_five_minutes_a_parked_pod_is_tried_again() {
    let mut queue = queue();
    set(&mut queue, "a", 0);
    pop(&mut queue);
    park(&mut queue, "a");
    assert_eq!(queue.waiting(), Waiting { unschedulable: 1, ..Waiting::default() });
    assert_eq!(rest(&queue).await.as_secs(), 300);
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn gates_hold_a_pod_until_they_are_gone() {
    let mut queue = queue();
    let gated = json!({ "containers": [], "schedulingGates": [{ "name": "g" }] });
    queue.set(pod_of("a", &gated), Instant::now());
    wake(&mut queue, SURELY);
    assert_eq!((pop(&mut queue), queue.waiting().gated), (None, 1));
    set(&mut queue, "a", 0);
    assert_eq!((pop(&mut queue).as_deref(), queue.waiting().gated), (Some("a"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_asks_for_something_else_is_tried_again() {
    let mut queue = queue();
    set(&mut queue, "a", 0);
    pop(&mut queue);
    park(&mut queue, "a");
    set(&mut queue, "a", 0);
    assert_eq!(pop(&mut queue), None, "nothing changed");
    queue.set(pod_of("a", &json!({ "containers": [], "nodeSelector": { "k": "v" } })), Instant::now());
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_removed_pod_is_in_no_line() {
    let mut queue = queue();
    for name in ["active", "parked", "backing off", "resting", "cycling"] {
        set(&mut queue, name, 0);
    }
    queue.remove("active");
    pop(&mut queue);
    park(&mut queue, "parked");
    queue.remove("parked");
    pop(&mut queue);
    queue.back_off("backing off", Instant::now());
    queue.remove("backing off");
    pop(&mut queue);
    park(&mut queue, "resting");
    wake(&mut queue, MAYBE);
    queue.remove("resting");
    pop(&mut queue);
    queue.remove("cycling");
    park(&mut queue, "cycling");
    wake(&mut queue, SURELY);
    assert_eq!((pop(&mut queue), queue.next_due()), (None, None));
    assert_eq!(queue.waiting(), Waiting::default());
}
