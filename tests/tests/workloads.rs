//! Workloads whose Pods really run, as OCI and as wasm containers.

use std::collections::BTreeSet;

use wherry_tests::{Cluster, Options, in_cluster};

/// The names of the ready Pods of an app, once there are two.
fn two_ready_pods(cluster: &Cluster, app: &str) -> BTreeSet<String> {
    let selector = format!("app={app}");
    let ready = "jsonpath={range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.name} {end}";
    let args = ["get", "pods", "-l", &selector, "-o", ready];
    let names = cluster.kubectl_until(&args, |names| names.split_whitespace().count() == 2);
    names.split_whitespace().map(str::to_owned).collect()
}

/// Every Pod of two is of its own name, which it tells itself when it is asked by the API server's proxy.
fn runs_a_basic_image(kind: &str, api_version: &str) {
    in_cluster(Options::default(), |cluster| {
        for image in ["hello-oci", "hello-wasm"] {
            let selector = match kind {
                "ReplicaSet" => format!("{{matchLabels: {{app: {image}}}}}"),
                _ => format!("{{app: {image}}}"),
            };
            cluster.apply(&format!(
                "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {image}}}\nspec:\n  replicas: 2\n  \
                 selector: {selector}\n  template:\n    metadata: {{labels: {{app: {image}}}}}\n    spec:\n      containers:\n      \
                 - name: main\n        image: 127.0.0.1:5000/{image}:v1\n        ports: [{{containerPort: 8080}}]\n        \
                 env: [{{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]\n"
            ));
            for pod in two_ready_pods(cluster, image) {
                let path = format!("/api/v1/namespaces/default/pods/{pod}:8080/proxy/");
                let answer = cluster.kubectl_until(&["get", "--raw", &path], |answer| !answer.is_empty());
                assert!(answer.contains(&pod), "{pod} answers {answer}");
            }
        }
    });
}

/// [sig-apps] ReplicaSet should serve a basic image on each replica with a public image.
#[test]
fn replica_set_run_basic_image() {
    runs_a_basic_image("ReplicaSet", "apps/v1");
}

/// [sig-apps] ReplicationController should serve a basic image on each replica with a public image.
#[test]
fn replication_controller_run_basic_image() {
    runs_a_basic_image("ReplicationController", "v1");
}
