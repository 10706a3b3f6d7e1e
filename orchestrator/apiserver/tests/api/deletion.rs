//! Deletion: at once, after a grace period, after finalizers, on conditions.

use serde_json::json;

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, deployment, names};

#[tokio::test]
async fn a_deletion_answers_what_is_gone() {
    let api = Api::start().await;
    let made = api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d");
    let status = api.delete(&path).await.expect(200);
    assert_eq!(status["status"], "Success");
    let details =
        json!({"name": "d", "group": "apps", "kind": "deployments", "uid": made["metadata"]["uid"]});
    assert_eq!(status["details"], details);
    api.get(&path).await.refused(404, "NotFound", "deployments.apps \"d\" not found");
    api.delete(&path).await.refused(404, "NotFound", "deployments.apps \"d\" not found");
}

#[tokio::test]
async fn finalizers_keep_an_object_until_the_last_is_removed() {
    let api = Api::start().await;
    let body = json!({"metadata": {"name": "f", "finalizers": ["a.b/c", "a.b/d"]}});
    api.post(CONFIG_MAPS, &body).await.expect(201);
    let path = format!("{CONFIG_MAPS}/f");
    let marked = api.delete(&path).await.expect(200);
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2024-05-06T07:08:09Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(api.delete(&path).await.expect(200), marked);
    let more = json!({"metadata": {"finalizers": ["a.b/c", "x.y/z"]}});
    let refused = api.patch(&path, "merge-patch", &more).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("no new finalizers can be added"));
    let status = api.post(CONFIG_MAPS, &json!({"metadata": {"name": "f"}})).await;
    status.refused(409, "AlreadyExists", "object is being deleted: configmaps \"f\" already exists");
    let one = json!({"metadata": {"finalizers": ["a.b/c"]}});
    api.patch(&path, "merge-patch", &one).await.expect(200);
    let none = json!({"metadata": {"finalizers": null}});
    let last = api.patch(&path, "merge-patch", &none).await.expect(200);
    assert!(last["metadata"]["finalizers"].is_null());
    assert_eq!(api.get(&path).await.code, 404);
}

#[rstest::rstest]
#[case("Foreground", "foregroundDeletion")]
#[case("Orphan", "orphan")]
#[tokio::test]
async fn propagation_leaves_a_finalizer_for_the_garbage_collector(
    #[case] policy: &str,
    #[case] finalizer: &str,
) {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    let marked = api.delete_with(&format!("{DEPLOYMENTS}/d"), &options).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
    assert_eq!(marked["metadata"]["generation"], 2);
    assert_eq!(api.get(&format!("{DEPLOYMENTS}/d")).await.code, 200);
}

#[tokio::test]
async fn a_deletion_on_a_condition_that_does_not_hold_changes_nothing() {
    let api = Api::start().await;
    let made = api.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    api.delete_with(&path, &json!({"preconditions": {"resourceVersion": "1"}})).await.refused(
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the ResourceVersion in the precondition (1) does not \
             match the ResourceVersion in record ({version}). The object might have been modified"
        ),
    );
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let wrong = api.delete_with(&path, &json!({"preconditions": {"uid": "other"}})).await.expect(409);
    assert!(
        wrong["message"].as_str().unwrap().contains(&format!("does not match the UID in record ({uid})"))
    );
    assert_eq!(api.get(&path).await.expect(200), made);
    api.delete_with(&path, &json!({"preconditions": {"uid": uid, "resourceVersion": version}}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_bound_pod_is_given_time_and_then_deleted_by_its_node() {
    let api = Api::start().await;
    api.pod("p", Some("n1")).await;
    let path = format!("{PODS}/p");
    let marked = api.delete(&path).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2024-05-06T07:08:39Z");
    let longer = api.delete_with(&path, &json!({"gracePeriodSeconds": 60})).await.expect(200);
    assert_eq!(longer, marked);
    let shorter = api.delete_with(&path, &json!({"gracePeriodSeconds": 5})).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let gone = api.delete_with(&path, &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(gone["kind"], "Pod");
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_without_a_node_or_that_has_ended_goes_at_once() {
    let api = Api::start().await;
    api.pod("waiting", None).await;
    api.delete(&format!("{PODS}/waiting")).await.expect(200);
    assert_eq!(api.get(&format!("{PODS}/waiting")).await.code, 404);
    api.pod("done", Some("n1")).await;
    let ended = json!({"status": {"phase": "Succeeded"}});
    api.patch(&format!("{PODS}/done/status"), "merge-patch", &ended).await.expect(200);
    api.delete(&format!("{PODS}/done")).await.expect(200);
    assert_eq!(api.get(&format!("{PODS}/done")).await.code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let api = Api::start().await;
    api.config_map("a", &json!({"app": "x"})).await;
    api.config_map("b", &json!({"app": "y"})).await;
    api.config_map("c", &json!({"app": "x"})).await;
    let dry = api.delete(&format!("{CONFIG_MAPS}?labelSelector=app%3Dx&dryRun=All")).await.expect(200);
    assert_eq!(names(&dry), ["a", "c"]);
    assert_eq!(names(&api.get(CONFIG_MAPS).await.expect(200)), ["a", "b", "c"]);
    let deleted = api.delete(&format!("{CONFIG_MAPS}?labelSelector=app%3Dx")).await.expect(200);
    assert_eq!(names(&deleted), ["a", "c"]);
    assert_eq!(names(&api.get(CONFIG_MAPS).await.expect(200)), ["b"]);
}

#[tokio::test]
async fn an_evicted_pod_is_deleted() {
    let api = Api::start().await;
    api.pod("p", Some("n1")).await;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
        "deleteOptions": {"gracePeriodSeconds": 7},
    });
    let status = api.post(&format!("{PODS}/p/eviction"), &eviction).await.expect(201);
    assert_eq!(status["status"], "Success");
    let pod = api.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
}
