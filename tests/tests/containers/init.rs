//! Containers that come before the others: common/node/init_container.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster};

/// Makes the Pod `phased` of two init containers and one other, which run these scripts.
fn phased(cluster: &Cluster, policy: &str, [first, second, main]: [&str; 3]) {
    cluster.run_pod(
        "phased",
        &json!({
            "restartPolicy": policy, "terminationGracePeriodSeconds": 1,
            "initContainers": [shell("first", first), shell("second", second)],
            "containers": [with(shell("main", main), json!({ "resources": { "limits": { "cpu": "100m" } } }))],
        }),
    );
}

fn status(cluster: &Cluster) -> Value {
    cluster.get(&["pod", "phased"])["status"].clone()
}

/// The status of the condition `Initialized`.
fn initialized(status: &Value) -> &Value {
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    &conditions.find(|condition| condition["type"] == "Initialized").unwrap()["status"]
}

fn assert_init_containers_succeeded(status: &Value) {
    for container in status["initContainerStatuses"].as_array().unwrap() {
        assert_eq!(
            (&container["ready"], &container["state"]["terminated"]["exitCode"]),
            (&json!(true), &json!(0))
        );
    }
}

/// [sig-node] InitContainer should invoke init containers on a RestartNever pod.
#[test]
fn init_container_starts_app_restartnever_pod() {
    in_cluster(Options::default(), |cluster| {
        phased(cluster, "Never", ["true", "true", "true"]);
        cluster.until_phase("phased", "Succeeded");
        let status = status(cluster);
        assert_eq!(initialized(&status), "True");
        assert_init_containers_succeeded(&status);
    });
}

/// [sig-node] InitContainer should invoke init containers on a RestartAlways pod.
#[test]
fn init_container_starts_app_restartalways_pod() {
    in_cluster(Options::default(), |cluster| {
        phased(cluster, "Always", ["true", "true", IDLE]);
        cluster.wait_for("condition=Ready", &["pod/phased"]);
        let status = status(cluster);
        assert_eq!((initialized(&status), &status["phase"]), (&json!("True"), &json!("Running")));
        assert_init_containers_succeeded(&status);
    });
}

/// [sig-node] InitContainer should not start app containers if init containers fail on a RestartAlways pod.
#[test]
fn init_container_fails_stops_app_restartalways_pod() {
    in_cluster(Options::hasty(), |cluster| {
        phased(cluster, "Always", ["false", "true", IDLE]);
        let count = "jsonpath={.status.initContainerStatuses[0].restartCount}";
        cluster
            .kubectl_until(&["get", "pod", "phased", "-o", count], |n| n.parse().is_ok_and(|n: u32| n >= 3));
        let status = status(cluster);
        assert_eq!((initialized(&status), &status["phase"]), (&json!("False"), &json!("Pending")));
        assert_eq!(status["initContainerStatuses"][1]["state"]["waiting"]["reason"], "PodInitializing");
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    });
}

/// [sig-node] InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod.
#[test]
fn init_container_fails_stops_app_restartnever_pod() {
    in_cluster(Options::default(), |cluster| {
        phased(cluster, "Never", ["true", "false", IDLE]);
        cluster.until_phase("phased", "Failed");
        let status = status(cluster);
        assert_eq!(initialized(&status), "False");
        assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert_eq!(status["initContainerStatuses"][1]["state"]["terminated"]["exitCode"], 1);
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    });
}
