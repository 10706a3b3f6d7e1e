//! What the server counts.

use serde_json::json;

use crate::harness::{Api, CONFIG_MAPS};

/// The value of the sample whose name and labels hold all of these.
pub(crate) fn sample(page: &str, parts: &[&str]) -> Option<f64> {
    let line =
        page.lines().find(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn requests_are_counted_by_resource_verb_scope_and_code() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    api.get(&format!("{CONFIG_MAPS}/b")).await.expect(404);
    api.delete(&format!("{CONFIG_MAPS}/a?dryRun=All")).await.expect(200);
    let page = api.get("/metrics").await;
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let count = |parts: &[&str]| {
        let labels = ["apiserver_request_total", "resource=\"configmaps\"", "scope=\"resource\""];
        sample(&page.text, &[&labels[..], parts].concat())
    };
    assert_eq!(count(&["verb=\"POST\"", "code=\"201\""]), Some(1.0));
    assert_eq!(count(&["verb=\"GET\"", "code=\"200\""]), Some(1.0));
    assert_eq!(count(&["verb=\"GET\"", "code=\"404\""]), Some(1.0));
    assert_eq!(count(&["verb=\"DELETE\"", "dry_run=\"All\""]), Some(1.0));
    let durations = ["apiserver_request_duration_seconds_count", "resource=\"configmaps\"", "verb=\"GET\""];
    assert_eq!(sample(&page.text, &durations), Some(2.0));
}

#[tokio::test]
async fn watches_are_counted_while_they_last() {
    let api = Api::start().await;
    let events = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    let watchers = ["apiserver_longrunning_requests", "resource=\"configmaps\"", "verb=\"WATCH\""];
    assert_eq!(sample(&api.get("/metrics").await.text, &watchers), Some(1.0));
    drop(events);
    assert_eq!(sample(&api.get("/metrics").await.text, &watchers), None);
}

#[tokio::test]
async fn objects_and_the_process_are_measured() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    api.config_map("b", &json!({})).await;
    let page = api.get("/metrics").await.text;
    assert_eq!(sample(&page, &["apiserver_storage_objects{resource=\"configmaps\"}"]), Some(2.0));
    assert_eq!(sample(&page, &["apiserver_storage_objects{resource=\"deployments.apps\"}"]), Some(0.0));
    assert!(sample(&page, &["process_resident_memory_bytes"]).unwrap() > 1e6);
    assert!(sample(&page, &["process_open_fds"]).unwrap() > 0.0);
}

#[tokio::test]
async fn every_family_is_declared_once_and_before_its_samples() {
    let api = Api::start().await;
    let page = api.get("/metrics").await.text;
    let mut declared: Vec<&str> = Vec::new();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().unwrap();
            assert!(!declared.contains(&name), "{name}");
            declared.push(name);
        } else if !line.starts_with('#') {
            let family = declared.last().unwrap();
            assert!(line.starts_with(family), "{line}");
        }
    }
}

#[tokio::test]
async fn objects_and_watches_of_custom_kinds_are_counted() {
    let api = Api::start().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    api.define(&json!({
        "metadata": {"name": "toys.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    }))
    .await;
    let toys = "/apis/example.com/v1/namespaces/default/toys";
    api.post(toys, &json!({"metadata": {"name": "a"}})).await.expect(201);
    let events = api.watch(&format!("{toys}?watch=true")).await;
    let watchers = ["apiserver_registered_watchers", "kind=\"Toy\"", "version=\"v1\""];
    let page = api.get("/metrics").await.text;
    assert_eq!(sample(&page, &["apiserver_storage_objects", "resource=\"toys.example.com\""]), Some(1.0));
    assert_eq!(sample(&page, &watchers), Some(1.0));
    drop(events);
    assert_eq!(sample(&api.get("/metrics").await.text, &watchers), None);
}
