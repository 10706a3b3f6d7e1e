//! What nodes and Pods use, as `metrics.k8s.io` tells it without a server of anybody else, and who goes by it.

use serde_json::{Value, json};
use wherry_tests::pods::shell;
use wherry_tests::{Cluster, Options, in_cluster, one_shot, wait};

/// A script that takes whatever processor it is given.
const BUSY: &str = "trap 'exit 0' TERM; while true; do :; done";

fn deployment() -> Value {
    let mut main = shell("main", BUSY);
    main["resources"] = json!({ "requests": { "cpu": "10m" }, "limits": { "cpu": "100m" } });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "busy" },
        "spec": {
            "selector": { "matchLabels": { "app": "busy" } },
            "template": {
                "metadata": { "labels": { "app": "busy" } },
                "spec": { "terminationGracePeriodSeconds": 1, "containers": [main] },
            },
        },
    })
}

#[test]
fn kubectl_top_and_autoscalers_go_by_what_the_cluster_itself_tells() {
    let flags = [
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=0s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
    ];
    let options = Options { flags: flags.map(str::to_owned).to_vec(), ..Options::default() };
    in_cluster(options, |cluster| {
        cluster.apply(&deployment().to_string());
        cluster.apply(&one_shot("wasm", "hello-wasm:v1", ""));
        cluster.wait_for("condition=Available", &["deployment/busy"]);
        cluster.wait_for("condition=Ready", &["pod/wasm"]);
        top(cluster);
        rows(cluster);
        readers(cluster);
        cluster.kubectl(&["autoscale", "deployment", "busy", "--cpu-percent=50", "--max=2"]);
        cluster.wait_for("jsonpath={.status.replicas}=2", &["deployment/busy"]);
        let scaler = cluster.get(&["hpa", "busy"]);
        let known =
            scaler["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"].as_i64();
        assert!(known > Some(100), "{scaler:#}");
        taken_over(cluster);
    });
}

/// `kubectl top` tells of containers of both kinds, and of the node.
fn top(cluster: &Cluster) {
    let pods = cluster
        .kubectl_until(&["top", "pods", "--containers", "--sort-by=cpu", "--no-headers"], |text| {
            text.contains("busy-") && text.contains("wasm")
        });
    let columns: Vec<Vec<&str>> = pods.lines().map(|line| line.split_whitespace().collect()).collect();
    let [busy, wasm] = columns.as_slice() else { panic!("there are two containers:\n{pods}") };
    assert!(busy[0].starts_with("busy-") && (wasm[0], wasm[1]) == ("wasm", "main"), "{pods}");
    let milli: u32 = busy[2].trim_end_matches('m').parse().expect("processors are told in thousandths");
    assert!((30..=300).contains(&milli), "a tenth of a processor is all it may have:\n{pods}");
    assert!(busy[3].ends_with("Mi") && wasm[3].ends_with("Mi"), "{pods}");
    let nodes = cluster.kubectl(&["top", "nodes", "--no-headers"]);
    let node: Vec<&str> = nodes.split_whitespace().collect();
    assert!(node[0] == "node-1" && node[1] != "0m" && node[4].ends_with('%'), "{nodes}");
}

/// The objects behind it are chosen by the Pods' own labels and names, and shown as rows.
fn rows(cluster: &Cluster) {
    let listed = cluster.get(&["pods.metrics.k8s.io", "-l", "app=busy"]);
    let found = listed["items"].as_array().expect("it is a list");
    assert_eq!((found.len(), &found[0]["metadata"]["labels"]["app"]), (1, &json!("busy")), "{listed:#}");
    let one = cluster.get(&["pods.metrics.k8s.io", "wasm"]);
    assert_eq!((&one["kind"], &one["containers"][0]["name"]), (&json!("PodMetrics"), &json!("main")));
    let rows = cluster.kubectl(&["get", "pods.metrics.k8s.io", "--field-selector=metadata.name=wasm"]);
    let mut rows = rows.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    assert_eq!(rows.next(), Some(vec!["NAME", "CPU", "MEMORY", "WINDOW"]));
    assert_eq!(rows.next().map(|row| row[0]), Some("wasm"));
    let missing = cluster.kubectl_fails(&["get", "nodes.metrics.k8s.io", "node-2"]);
    assert!(missing.contains("nodemetrics.metrics.k8s.io \"node-2\" not found"), "{missing}");
}

/// Who may view a namespace may see what its Pods use.
fn readers(cluster: &Cluster) {
    let may = |who: &str| {
        let output = cluster.try_kubectl(&["auth", "can-i", "list", "pods.metrics.k8s.io", "--as", who]);
        output.status.success()
    };
    cluster.kubectl(&["create", "rolebinding", "viewer", "--clusterrole=view", "--user=ada"]);
    wait::until(
        "the role view has what it sums up",
        || if may("ada") { Ok(()) } else { Err("no".to_owned()) },
    );
    assert!(!may("bob"));
    let services = cluster.kubectl(&["get", "apiservices", "v1beta1.metrics.k8s.io", "--no-headers"]);
    assert_eq!(
        services.split_whitespace().take(3).collect::<Vec<_>>(),
        ["v1beta1.metrics.k8s.io", "Local", "True"]
    );
}

/// An APIService that names a server takes the group over, and gives it back when it goes.
fn taken_over(cluster: &Cluster) {
    let names = |service: &str| {
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": { "name": "v1beta1.metrics.k8s.io" },
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": { "namespace": "kube-system", "name": service },
            },
        })
    };
    cluster.apply(&names("metrics-server").to_string());
    cluster.wait_for("condition=Available=False", &["apiservice/v1beta1.metrics.k8s.io"]);
    cluster.kubectl_fails(&["top", "nodes"]);
    cluster.kubectl(&["delete", "apiservice", "v1beta1.metrics.k8s.io"]);
    cluster.kubectl_until(&["top", "nodes"], |text| text.contains("node-1"));
}
