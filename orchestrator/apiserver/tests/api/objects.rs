//! Create, get, update: the life of an object.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use wherry_apiserver::Config;

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, deployment};

#[tokio::test]
async fn a_created_object_is_answered_completed_and_read_back_the_same() {
    let api = Api::start().await;
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let created = api.post(CONFIG_MAPS, &body).await.expect(201);
    assert_eq!(created["metadata"]["namespace"], "default");
    assert_eq!(created["metadata"]["creationTimestamp"], "2024-05-06T07:08:09Z");
    assert_eq!(created["metadata"]["resourceVersion"], "3");
    assert!(created["metadata"]["uid"].as_str().unwrap().starts_with("00000000"));
    let read = api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(read, created);
}

#[tokio::test]
async fn yaml_bodies_are_read_and_yaml_answers_are_written() {
    let api = Api::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: written\ndata:\n  a: x\n";
    let created = api.raw("POST", CONFIG_MAPS, "application/yaml", yaml).await.expect(201);
    assert_eq!(created["data"]["a"], "x");
    let answer = api.get_as(&format!("{CONFIG_MAPS}/written"), "application/yaml").await;
    assert_eq!(answer.headers["content-type"], "application/yaml");
    assert!(answer.text.contains("\nkind: ConfigMap\n"), "{}", answer.text);
}

#[tokio::test]
async fn a_generated_name_continues_its_prefix() {
    let api = Api::start().await;
    let body = json!({"metadata": {"generateName": "web-"}});
    let first = api.post(CONFIG_MAPS, &body).await.expect(201);
    let second = api.post(CONFIG_MAPS, &body).await.expect(201);
    let name = |o: &serde_json::Value| o["metadata"]["name"].as_str().unwrap().to_owned();
    assert_ne!(name(&first), name(&second));
    assert!(name(&first).starts_with("web-") && name(&first).len() == 9, "{}", name(&first));
}

/// Ids of which several are alike, so that names come out that are taken already.
fn repeated_ids(config: &mut Config) {
    let counter = AtomicU64::new(0);
    config.ids = Arc::new(move || {
        format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed) / 8)
    });
}

#[tokio::test]
async fn a_generated_name_that_is_taken_is_generated_again() {
    let api = Api::with(repeated_ids).await;
    let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}]});
    let pod = json!({"spec": {"automountServiceAccountToken": false, "containers": [container]}});
    let service = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    for (path, mut object) in [(PODS, pod), (SERVICES, service)] {
        object["metadata"] = json!({"generateName": "web-", "labels": {"a": "b"}});
        let mut names = BTreeSet::new();
        let first = api.post(path, &object).await.expect(201);
        for _ in 0..8 {
            let mut made = api.post(path, &object).await.expect(201);
            assert!(names.insert(made["metadata"]["name"].as_str().unwrap().to_owned()), "{made}");
            // Nothing but the name and what is given out differs from what the first try of all made.
            for place in ["/spec/clusterIP", "/spec/clusterIPs", "/spec/ports/0/nodePort"] {
                if let (Some(given), Some(before)) = (made.pointer_mut(place), first.pointer(place)) {
                    assert_ne!(given, before, "{place}");
                    given.clone_from(before);
                }
            }
            assert_eq!((&made["spec"], &made["status"]), (&first["spec"], &first["status"]));
            assert_eq!(made["metadata"]["labels"], first["metadata"]["labels"]);
        }
    }
}

#[tokio::test]
async fn a_second_object_of_a_name_is_refused_and_changes_nothing() {
    let api = Api::start().await;
    let first = api.config_map("a", &json!({})).await;
    let body = json!({"metadata": {"name": "a"}, "data": {"other": "x"}});
    let status =
        api.post(CONFIG_MAPS, &body).await.refused(409, "AlreadyExists", "configmaps \"a\" already exists");
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps"}));
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200), first);
}

#[tokio::test]
async fn an_update_of_an_older_version_conflicts() {
    let api = Api::start().await;
    let old = api.config_map("a", &json!({})).await;
    let mut new = old.clone();
    new["data"] = json!({"k": "1"});
    let path = format!("{CONFIG_MAPS}/a");
    let updated = api.put(&path, &new).await.expect(200);
    assert_ne!(updated["metadata"]["resourceVersion"], old["metadata"]["resourceVersion"]);
    new["data"] = json!({"k": "2"});
    api.put(&path, &new).await.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again",
    );
    assert_eq!(api.get(&path).await.expect(200)["data"]["k"], "1");
}

#[tokio::test]
async fn an_update_without_a_version_overwrites() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let body = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    let updated = api.put(&format!("{CONFIG_MAPS}/a"), &body).await.expect(200);
    assert_eq!(updated["data"]["k"], "v");
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_the_version_and_writes_nothing() {
    let api = Api::start().await;
    let old = api.config_map("a", &json!({"x": "y"})).await;
    let before = api.store.revision();
    let answer = api.put(&format!("{CONFIG_MAPS}/a"), &old).await.expect(200);
    assert_eq!(answer, old);
    assert_eq!(api.store.revision(), before);
}

#[tokio::test]
async fn a_generation_counts_changes_of_the_spec_and_nothing_else() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let mut object = api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    assert_eq!(object["metadata"]["generation"], 1);
    object["metadata"]["labels"] = json!({"x": "y"});
    object = api.put(&path, &object).await.expect(200);
    assert_eq!(object["metadata"]["generation"], 1);
    object["spec"]["replicas"] = json!(3);
    object = api.put(&path, &object).await.expect(200);
    assert_eq!(object["metadata"]["generation"], 2);
    object["status"] = json!({"replicas": 3});
    object = api.put(&format!("{path}/status"), &object).await.expect(200);
    assert_eq!((&object["metadata"]["generation"], &object["status"]["replicas"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn an_update_of_the_object_cannot_change_its_status_nor_the_other_way_round() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let mut object = api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    object["status"] = json!({"replicas": 9});
    object["spec"]["replicas"] = json!(5);
    let whole = api.put(&path, &object).await.expect(200);
    assert_eq!((&whole["spec"]["replicas"], &whole["status"]), (&json!(5), &json!({})));
    let mut object = whole;
    object["status"] = json!({"replicas": 9});
    object["spec"]["replicas"] = json!(7);
    let status = api.put(&format!("{path}/status"), &object).await.expect(200);
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(5), &json!(9)));
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_writes_nothing() {
    let api = Api::start().await;
    let before = api.store.revision();
    let body = json!({"metadata": {"name": "a"}});
    let created = api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &body).await.expect(201);
    assert!(created["metadata"]["uid"].is_string());
    assert!(created["metadata"]["resourceVersion"].is_null());
    assert_eq!(api.store.revision(), before);
    api.get(&format!("{CONFIG_MAPS}/a")).await.refused(404, "NotFound", "configmaps \"a\" not found");
    api.config_map("b", &json!({})).await;
    let before = api.store.revision();
    api.delete(&format!("{CONFIG_MAPS}/b?dryRun=All")).await.expect(200);
    let patch = json!({"data": {"k": "v"}});
    let patched = api.patch(&format!("{CONFIG_MAPS}/b?dryRun=All"), "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["data"]["k"], "v");
    assert_eq!(api.store.revision(), before);
}

#[tokio::test]
async fn both_event_apis_show_the_same_objects() {
    let api = Api::start().await;
    let event = json!({
        "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "eventTime": "2024-01-01T00:00:00.000000Z", "reason": "Started", "action": "Starting", "type": "Normal",
        "note": "hello", "reportingController": "wherry.dev/node", "reportingInstance": "n1",
    });
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let created = api.post(new, &event).await.expect(201);
    assert_eq!((&created["apiVersion"], &created["note"]), (&json!("events.k8s.io/v1"), &json!("hello")));
    let core = api.get("/api/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&core["apiVersion"], &core["message"]), (&json!("v1"), &json!("hello")));
    assert_eq!(core["involvedObject"]["name"], "p");
    let list = api.get(&format!("{new}?fieldSelector=regarding.kind%3DPod")).await.expect(200);
    assert_eq!(list["items"][0]["regarding"]["name"], "p");
    assert!(list["items"][0]["involvedObject"].is_null());
    let none = api.get(&format!("{new}?fieldSelector=regarding.kind%3DNode")).await.expect(200);
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_lease_is_made_by_an_update_and_then_guards_its_version() {
    let api = Api::start().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let body = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}});
    api.put(path, &body).await.expect(201);
    api.put(path, &body).await.refused(
        422,
        "Invalid",
        "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified \
         for an update",
    );
}

#[tokio::test]
async fn a_namespace_of_a_typed_client_is_read_from_protobuf() {
    let api = Api::start().await;
    let media = "application/vnd.kubernetes.protobuf";
    // As `kubectl create namespace typed` sends it.
    let body = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1d\n\x17\n\x05typed\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\0\x1a\0\x1a\0\"\0";
    let made = api.raw("POST", "/api/v1/namespaces", media, &body[..]).await;
    assert_eq!(made.headers["content-type"], "application/json");
    assert_eq!(made.expect(201)["metadata"]["name"], "typed");
    let before = api.store.revision();
    let answer = api.raw("POST", "/api/v1/namespaces", media, "nonsense").await;
    answer.refused(
        415,
        "UnsupportedMediaType",
        "the body does not begin with the magic bytes of a Kubernetes protobuf message",
    );
    assert_eq!(api.store.revision(), before);
}
