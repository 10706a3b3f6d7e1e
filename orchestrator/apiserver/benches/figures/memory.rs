//! What Pods and Nodes cost the server's memory.

use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::report::{figure, float};
use crate::server::Server;

const CLIENTS: usize = 8;
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Measures resident memory with objects beside without.
pub(crate) async fn run() {
    let (server, clients, tasks) = start().await;
    let empty = server.resident_mib();
    fill(&clients, (PODS, pod), 5000).await;
    let pods = server.resident_mib();
    fill(&clients, ("/api/v1/nodes", node), 1000).await;
    figure("api_memory_empty", empty, "MiB", "none");
    figure("api_memory_5000_pods_add", pods - empty, "MiB", "none");
    figure("api_memory_5000_pods_1000_nodes", server.resident_mib(), "MiB", "kube-apiserver 603 MiB");
    fill(&clients, (PODS, |number| pod(number + 5000)), 5000).await;
    let size = clients[0].clone().send("GET", PODS, "").await;
    figure("api_memory_10000_pods_1000_nodes_after_a_list", server.resident_mib(), "MiB", "none");
    figure("api_size_of_10000_pods", float(size) / 1024.0 / 1024.0, "MiB", "none");
    drop((clients, tasks));
}

async fn start() -> (Server, Vec<Client>, TaskTracker) {
    let server = Server::start();
    let tasks = TaskTracker::new();
    let mut clients = Client::connect(&server, CLIENTS, &tasks).await;
    clients[0].send("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"default"}}"#).await;
    let account = r#"{"metadata":{"name":"default"}}"#;
    clients[0].send("POST", "/api/v1/namespaces/default/serviceaccounts", account).await;
    (server, clients, tasks)
}

async fn fill(clients: &[Client], (path, object): (&'static str, fn(usize) -> String), count: usize) {
    let mut filling = JoinSet::new();
    for (start, mut client) in clients.iter().cloned().enumerate() {
        filling.spawn(async move {
            for number in (start..count).step_by(CLIENTS) {
                client.send("POST", path, &object(number)).await;
            }
        });
    }
    filling.join_all().await;
}

fn pod(number: usize) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-6d4b75cb6d-{number:05}"), "labels": {"app": "web", "pod-template-hash": "6d4b75cb6d"}},
        "spec": {
            "nodeName": format!("node-{}", number % 1000),
            "containers": [{
                "name": "web", "image": "registry.example/web:1.2.3",
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [{"name": "MODE", "value": "production"}, {"name": "REGION", "value": "north"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            }],
        },
    })
    .to_string()
}

fn node(number: usize) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{number}"), "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
        "status": {
            "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "allocatable": {"cpu": "8", "memory": "31Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": format!("node-{number}")}],
        },
    })
    .to_string()
}
