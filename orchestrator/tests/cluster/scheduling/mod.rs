//! The scheduler in a cluster: what conformance says of it, the words people read, and two of them side by side.

mod devices;
mod predicates;
mod preemption;
mod priority_classes;
mod told;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::Cluster;

/// A resource that only these tests know.
const FOO: &str = "example.com/foo";

/// A Pod that asks for this much of a resource; `spec` comes on top.
fn pod(name: &str, (resource, amount): (&str, &str), spec: Value) -> Value {
    let amounts = json!({ resource: amount });
    let container =
        json!({"name": "c", "image": "i", "resources": {"requests": amounts.clone(), "limits": amounts}});
    let mut whole = json!({"containers": [container]});
    let Value::Object(more) = spec else { panic!("{spec} is no object") };
    whole.as_object_mut().unwrap().extend(more);
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": whole})
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The condition of this type: status, reason, message.
fn condition(pod: &Pod, type_: &str) -> Option<(String, String, String)> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let found = conditions.find(|condition| condition.type_ == type_)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some((found.status.clone(), text(&found.reason), text(&found.message)))
}

/// Why the Pod has no node.
fn unschedulable(pod: &Pod) -> Option<String> {
    let (status, reason, message) = condition(pod, "PodScheduled")?;
    (status == "False" && reason == "Unschedulable").then_some(message)
}

impl Cluster {
    /// Gives a node so much of [`FOO`].
    async fn give_foo(&self, node: &str, amount: &str) {
        let amounts = json!({ FOO: amount });
        let status = json!({"status": {"capacity": amounts, "allocatable": amounts}});
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.patch_status(node, &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
    }

    async fn label_node_with(&self, node: &str, labels: Value) {
        let patch = json!({"metadata": {"labels": labels}});
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn priority(&self, name: &str, value: i32) {
        let class = json!({"metadata": {"name": name}, "value": value});
        let classes = Api::<PriorityClass>::all(self.client.clone());
        classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    }

    /// Makes a Pod and waits until it runs; returns its node.
    async fn run(&self, pod: Value) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.create::<Pod>(pod).await.unwrap();
        let running = self.until::<Pod>(&name, |pod| node_of(pod).is_some() && is_running(pod)).await;
        node_of(&running).unwrap().to_owned()
    }

    /// Makes a Pod and waits until it is told why it has no node.
    async fn refused(&self, pod: Value) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.create::<Pod>(pod).await.unwrap();
        let found = self.until::<Pod>(&name, |pod| unschedulable(pod).is_some()).await;
        unschedulable(&found).unwrap()
    }
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}
