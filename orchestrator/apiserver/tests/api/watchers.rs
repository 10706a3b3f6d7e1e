//! [sig-api-machinery] Watchers: each test does what the description of its name says.

use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS};

const LABEL: &str = "watch-this-configmap";

async fn make(api: &Api, name: &str, label: &str) -> Value {
    api.config_map(name, &json!({ LABEL: label })).await
}

async fn mutate(api: &Api, name: &str, change: Value) -> Value {
    api.patch(&format!("{CONFIG_MAPS}/{name}"), "merge-patch", &change).await.expect(200)
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn should_observe_add_update_and_delete_watch_notifications_on_configmaps() {
    let api = Api::start().await;
    let path = |selector: &str| format!("{CONFIG_MAPS}?watch=1&labelSelector={LABEL}+in+({selector})");
    let mut a = api.watch(&path("a")).await;
    let mut b = api.watch(&path("b")).await;
    let mut both = api.watch(&path("a,b")).await;
    make(&api, "first", "a").await;
    mutate(&api, "first", json!({"data": {"mutation": "1"}})).await;
    mutate(&api, "first", json!({"data": {"mutation": "2"}})).await;
    api.delete(&format!("{CONFIG_MAPS}/first")).await.expect(200);
    make(&api, "second", "b").await;
    api.delete(&format!("{CONFIG_MAPS}/second")).await.expect(200);
    let of_a = ["ADDED first", "MODIFIED first", "MODIFIED first", "DELETED first"];
    let of_b = ["ADDED second", "DELETED second"];
    assert_eq!(a.take(4).await, of_a);
    assert_eq!(b.take(2).await, of_b);
    assert_eq!(both.take(6).await, [&of_a[..], &of_b[..]].concat());
}

#[tokio::test]
async fn should_be_able_to_start_watching_from_a_specific_resource_version() {
    let api = Api::start().await;
    make(&api, "a", "x").await;
    let first = mutate(&api, "a", json!({"data": {"mutation": "1"}})).await;
    mutate(&api, "a", json!({"data": {"mutation": "2"}})).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", version(&first));
    assert_eq!(api.watch(&path).await.take(2).await, ["MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn should_be_able_to_restart_watching_from_the_last_resource_version_observed_by_the_previous_watch() {
    let api = Api::start().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    make(&api, "a", "x").await;
    mutate(&api, "a", json!({"data": {"mutation": "1"}})).await;
    events.next().await.unwrap();
    let last = events.next().await.unwrap();
    drop(events);
    mutate(&api, "a", json!({"data": {"mutation": "2"}})).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", version(&last["object"]));
    assert_eq!(api.watch(&path).await.take(2).await, ["MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn should_observe_an_object_deletion_if_it_stops_meeting_the_requirements_of_the_selector() {
    let api = Api::start().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector={LABEL}%3Dx")).await;
    make(&api, "a", "x").await;
    mutate(&api, "a", json!({"data": {"mutation": "1"}})).await;
    mutate(&api, "a", json!({"metadata": {"labels": {LABEL: "other"}}})).await;
    mutate(&api, "a", json!({"data": {"mutation": "2"}})).await;
    mutate(&api, "a", json!({"metadata": {"labels": {LABEL: "x"}}})).await;
    mutate(&api, "a", json!({"data": {"mutation": "3"}})).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let told = ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "MODIFIED a", "DELETED a"];
    assert_eq!(events.take(6).await, told);
}

#[tokio::test]
async fn should_receive_events_on_concurrent_watches_in_same_order() {
    const EVENTS: usize = 60;
    let api = Api::start().await;
    let start = api.store.revision();
    let write = async {
        for turn in 0..EVENTS {
            match turn % 3 {
                0 => drop(make(&api, &format!("c-{turn}"), "x").await),
                1 => drop(mutate(&api, &format!("c-{}", turn - 1), json!({"data": {"k": "v"}})).await),
                _ => drop(api.delete(&format!("{CONFIG_MAPS}/c-{}", turn - 2)).await.expect(200)),
            }
        }
    };
    let watch = async {
        let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={start}")).await;
        let (mut seen, mut others) = (Vec::new(), Vec::new());
        for _ in 0..EVENTS {
            let event = events.next().await.unwrap();
            let version = version(&event["object"]).to_owned();
            others.push(api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}")).await);
            seen.push(version);
        }
        (seen, others)
    };
    let ((), (seen, others)) = tokio::join!(write, watch);
    for (index, mut other) in others.into_iter().enumerate() {
        for expected in &seen[index + 1..] {
            assert_eq!(version(&other.next().await.unwrap()["object"]), expected);
        }
    }
}
