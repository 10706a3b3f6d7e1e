//! What a container is told of its Pod and itself by its environment.

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, in_cluster};

use crate::environment;

/// The value of the variable that shows the field of the Pod.
fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn resource(name: &str, resource: &str) -> Value {
    json!({ "name": name, "valueFrom": { "resourceFieldRef": { "resource": resource } } })
}

/// The values of variables `A`, `B`, .. of a container, in order.
fn shown(cluster: &Cluster, container: &Value, count: usize) -> Vec<String> {
    let lines = environment(cluster, container);
    let names = ["A=", "B=", "C=", "D="];
    let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    names[..count].iter().filter_map(|name| value(name)).collect()
}

fn told(cluster: &Cluster, path: &str) -> String {
    cluster.kubectl(&["get", "pod", "env", "-o", &format!("jsonpath={path}")])
}

/// [sig-node] Downward API should provide pod name, namespace and IP address as env vars.
#[test]
fn downwardapi_environment_for_name_namespace_and_ip() {
    in_cluster(Options::default(), |cluster| {
        let fields = [("A", "metadata.name"), ("B", "metadata.namespace"), ("C", "status.podIP")];
        let env = json!({ "env": fields.map(|(name, path)| field(name, path)) });
        let found = shown(cluster, &env, 3);
        assert_eq!(found, ["env".to_owned(), "default".to_owned(), told(cluster, "{.status.podIP}")]);
    });
}

/// [sig-node] Downward API should provide host IP as an env var.
#[test]
fn downwardapi_environment_for_host_ip() {
    in_cluster(Options::default(), |cluster| {
        let found = shown(cluster, &json!({ "env": [field("A", "status.hostIP")] }), 1);
        assert_eq!(found, [told(cluster, "{.status.hostIP}")]);
    });
}

/// [sig-node] Downward API should provide hostIPs as an env var.
#[test]
fn downwardapi_environment_for_hostips() {
    in_cluster(Options::default(), |cluster| {
        let found = shown(cluster, &json!({ "env": [field("A", "status.hostIPs")] }), 1);
        assert_eq!(found, [told(cluster, "{.status.hostIPs[0].ip}")]);
    });
}

/// [sig-node] Downward API should provide pod UID as env vars.
#[test]
fn downwardapi_environment_for_pod_uid() {
    in_cluster(Options::default(), |cluster| {
        let found = shown(cluster, &json!({ "env": [field("A", "metadata.uid")] }), 1);
        assert_eq!(found, [told(cluster, "{.metadata.uid}")]);
    });
}

const RESOURCES: [(&str, &str); 4] =
    [("A", "limits.cpu"), ("B", "limits.memory"), ("C", "requests.cpu"), ("D", "requests.memory")];

/// [sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars.
#[test]
fn downwardapi_environment_for_cpu_and_memory_limits_and_requests() {
    in_cluster(Options::default(), |cluster| {
        let container = json!({
            "resources": { "requests": { "cpu": "250m", "memory": "32Mi" }, "limits": { "cpu": "1250m", "memory": "64Mi" } },
            "env": RESOURCES.map(|(name, of)| resource(name, of)),
        });
        assert_eq!(shown(cluster, &container, 4), ["2", "67108864", "1", "33554432"]);
    });
}

/// [sig-node] Downward API should provide default limits.cpu/memory from node allocatable.
#[test]
fn downwardapi_environment_for_default_cpu_and_memory_limits_and_requests() {
    in_cluster(Options::default(), |cluster| {
        let env = json!({ "env": [resource("A", "limits.cpu"), resource("B", "limits.memory")] });
        let found = shown(cluster, &env, 2);
        let node = cluster.get(&["node", "node-1"]);
        let allocatable = &node["status"]["allocatable"];
        let kibibytes = allocatable["memory"].as_str().and_then(|text| text.strip_suffix("Ki")).unwrap();
        let bytes = kibibytes.parse::<u64>().unwrap() * 1024;
        assert_eq!(found, [allocatable["cpu"].as_str().unwrap().to_owned(), bytes.to_string()]);
    });
}
