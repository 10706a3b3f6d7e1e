//! Many volumes made of files at once (storage/empty_dir_wrapper).

use serde_json::json;
use wherry_tests::{Options, Viewer, in_cluster};

use super::objects::{CONFIG_MAP, SECRET};

/// [sig-storage] EmptyDir wrapper volumes should not conflict.
#[test]
fn emptydir_wrapper_volume_secret_and_configmap_volumes_no_conflict() {
    in_cluster(Options::default(), |cluster| {
        SECRET.put(cluster, "secret", &json!({ "data-1": "of the secret" }));
        CONFIG_MAP.put(cluster, "settings", &json!({ "data-1": "of the settings" }));
        let sources = [SECRET.volume("secret", &json!({})), CONFIG_MAP.volume("settings", &json!({}))];
        let shown = Viewer::of(&sources).shows(cluster, "cat /v0/data-1; echo; cat /v1/data-1");
        assert_eq!(shown, "of the secret\nof the settings");
    });
}

/// [sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps.
#[test]
fn emptydir_wrapper_volume_configmap_volumes_no_race() {
    in_cluster(Options::default(), |cluster| {
        let names: Vec<String> = (0..50).map(|number| format!("racey-{number}")).collect();
        let objects = names.iter().map(|name| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "data-1": name } })
        });
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>() });
        cluster.apply(&list.to_string());
        let sources: Vec<_> = names.iter().map(|name| CONFIG_MAP.volume(name, &json!({}))).collect();
        let mut spec = Viewer::of(&sources).pod["spec"].clone();
        spec["restartPolicy"] = json!("Always");
        spec["containers"][0]["command"] = json!(["sh", "-c", "cat /v*/data-1; echo; sleep 600"]);
        let template = json!({ "metadata": { "labels": { "app": "racey" } }, "spec": spec });
        let controller = json!({
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "racey" },
            "spec": { "replicas": 5, "selector": { "app": "racey" }, "template": template },
        });
        cluster.apply(&controller.to_string());
        cluster.wait_for("jsonpath={.status.readyReplicas}=5", &["rc/racey"]);
        for pod in cluster.kubectl(&["get", "pods", "-o", "name"]).lines() {
            let log = cluster.kubectl_until(&["logs", pod], |log| !log.is_empty());
            assert!(names.iter().all(|name| log.contains(name)), "{log}");
        }
        let failed = cluster.kubectl(&["get", "events", "--field-selector=reason=FailedMount", "-o", "name"]);
        assert_eq!(failed, "");
    });
}
