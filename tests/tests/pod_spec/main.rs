//! What a Pod's specification says of its containers, as a program in them finds it: environment, commands, users, kernel.
//!
//! One module for each file of descriptions; a test that does what a description says bears its name
//! (`docs/conformance.md`).

mod config_map;
mod containers;
mod downward_api;
mod runtime_class;
mod secrets;
mod security_context;
mod sysctl;

use serde_json::{Value, json};
use wherry_tests::Cluster;

const IMAGE: &str = "127.0.0.1:5000/hello-oci:v1";

/// A Pod of one container that runs to its end; `container` is added to it.
fn pod(name: &str, container: &Value) -> Value {
    let mut main = json!({ "name": "main", "image": IMAGE });
    for (field, value) in container.as_object().into_iter().flatten() {
        main[field] = value.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main] },
    })
}

/// What the first container of the Pod wrote; the Pod must succeed.
fn output_of(cluster: &Cluster, pod: &Value) -> String {
    cluster.apply(&pod.to_string());
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    cluster.wait_for("jsonpath={.status.phase}=Succeeded", &[&format!("pod/{name}")]);
    cluster.kubectl(&["logs", name, "-c", "main"])
}

/// The environment of a container with these fields.
fn environment(cluster: &Cluster, container: &Value) -> Vec<String> {
    let mut container = container.clone();
    container["command"] = json!(["env"]);
    output_of(cluster, &pod("env", &container)).lines().map(str::to_owned).collect()
}

/// Every one of the lines is there.
#[track_caller]
fn assert_has(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
}

/// Waits until a container of the Pod waits for this reason.
fn until_waiting(cluster: &Cluster, pod: &str, reason: &str) {
    let path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    cluster.kubectl_until(&["get", "pod", pod, "-o", path], |found| found == reason);
}
