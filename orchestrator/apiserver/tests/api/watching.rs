//! Watches: events, resumption, selectors, bookmarks.

use serde_json::json;

use crate::harness::{Api, CONFIG_MAPS};

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    assert_eq!(events.take(1).await, ["ADDED a"]);
    api.config_map("b", &json!({})).await;
    let patch = json!({"data": {"k": "v"}});
    api.patch(&format!("{CONFIG_MAPS}/b"), "merge-patch", &patch).await.expect(200);
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(events.take(3).await, ["ADDED b", "MODIFIED b", "DELETED a"]);
}

#[tokio::test]
async fn a_watch_from_a_version_tells_what_came_after_it_and_nothing_else() {
    let api = Api::start().await;
    let first = api.config_map("a", &json!({})).await;
    api.config_map("b", &json!({})).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}")).await;
    assert_eq!(events.take(1).await, ["ADDED b"]);
}

#[tokio::test]
async fn a_deletion_tells_the_last_state_with_the_version_of_the_deletion() {
    let api = Api::start().await;
    let made = api.config_map("a", &json!({"app": "x"})).await;
    let mut events =
        api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", api.store.revision())).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    assert_eq!(event["object"]["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(event["object"]["metadata"]["resourceVersion"], api.store.revision().to_string());
}

#[tokio::test]
async fn an_object_that_starts_or_stops_matching_is_added_or_deleted() {
    let api = Api::start().await;
    api.config_map("a", &json!({"app": "y"})).await;
    let path =
        format!("{CONFIG_MAPS}?watch=1&labelSelector=app%3Dx&resourceVersion={}", api.store.revision());
    let mut events = api.watch(&path).await;
    for app in ["x", "x2", "x"] {
        let patch = json!({"metadata": {"labels": {"app": app}}});
        api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200);
    }
    let patch = json!({"data": {"k": "v"}});
    api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200);
    assert_eq!(events.take(4).await, ["ADDED a", "DELETED a", "ADDED a", "MODIFIED a"]);
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_ends_with_expired() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    api.config_map("b", &json!({})).await;
    api.store.compact(api.store.revision()).await.unwrap();
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=1")).await;
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert!(event["object"]["message"].as_str().unwrap().starts_with("too old resource version: 1 ("));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn initial_events_end_with_an_annotated_bookmark() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(events.take(1).await, ["ADDED a"]);
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata["resourceVersion"], api.store.revision().to_string());
    api.config_map("b", &json!({})).await;
    assert_eq!(events.take(1).await, ["ADDED b"]);
}

#[tokio::test]
async fn an_idle_watch_is_told_how_far_it_is() {
    let api = Api::with(|config| config.bookmark_seconds = 1).await;
    let path =
        format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={}", api.store.revision());
    let mut events = api.watch(&path).await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "elsewhere"}})).await.expect(201);
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], api.store.revision().to_string());
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1");
    let mut events = api.watch(&path).await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_when_the_server_stops() {
    let api = Api::start().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    api.server.stop();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn many_watchers_see_the_same_events() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", api.store.revision());
    let mut one = api.watch(&path).await;
    let mut other = api.watch("/api/v1/configmaps?watch=1").await;
    for name in ["a", "b", "c"] {
        api.config_map(name, &json!({})).await;
    }
    let wanted = ["ADDED a", "ADDED b", "ADDED c"];
    assert_eq!(one.take(3).await, wanted);
    assert_eq!(other.take(3).await, wanted);
}

#[tokio::test]
async fn a_watch_of_a_table_tells_its_columns_once() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", api.store.revision());
    let mut events = api.watch_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    api.config_map("a", &json!({})).await;
    api.config_map("b", &json!({})).await;
    let first = events.next().await.unwrap();
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(first["object"]["rows"][0]["cells"], json!(["a", 0, "0s"]));
    let second = events.next().await.unwrap();
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test]
async fn events_of_the_newer_api_are_converted_in_watches() {
    let api = Api::start().await;
    let mut events = api.watch("/apis/events.k8s.io/v1/namespaces/default/events?watch=1").await;
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello", "reason": "Started", "type": "Normal",
    });
    api.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    let told = events.next().await.unwrap();
    assert_eq!(
        (&told["object"]["note"], &told["object"]["regarding"]["name"]),
        (&json!("hello"), &json!("p"))
    );
}
