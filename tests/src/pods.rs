//! Pods as tests write them: of busybox, told what to do by a script.

use serde_json::{Value, json};

use crate::{Cluster, wait};

/// An image of busybox.
pub const BUSYBOX: &str = "127.0.0.1:5000/hello-oci:v1";

/// A script that does nothing until it is asked to end, which it does at once.
pub const IDLE: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

/// A container that runs a script, as root.
pub fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": BUSYBOX, "command": ["sh", "-c", script], "securityContext": { "runAsUser": 0 } })
}

/// The container with more fields, or other values of them.
pub fn with(mut container: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut container, more) {
        fields.extend(more);
    }
    container
}

impl Cluster {
    /// Makes a Pod of this spec.
    pub fn run_pod(&self, name: &str, spec: &Value) {
        let metadata = json!({ "name": name, "labels": { "app": name } });
        self.create(
            &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }).to_string(),
        );
    }

    /// The status of the Pod's first container.
    pub fn first_container(&self, pod: &str) -> Value {
        self.get(&["pod", pod])["status"]["containerStatuses"][0].clone()
    }

    /// Waits until the Pod is in this phase.
    pub fn until_phase(&self, pod: &str, phase: &str) {
        self.wait_for(&format!("jsonpath={{.status.phase}}={phase}"), &[&format!("pod/{pod}")]);
    }

    /// Waits until the Pod's first container was started again so often.
    pub fn until_restarted(&self, pod: &str, times: u64) {
        wait::until(&format!("restart {times} of {pod}"), || {
            let count = self.first_container(pod)["restartCount"].as_u64().unwrap_or(0);
            if count >= times { Ok(()) } else { Err(format!("{count} restarts")) }
        });
    }

    /// Waits until the messages of the events that this field selector picks are such.
    pub fn until_told(&self, selector: &str, seen: impl Fn(&str) -> bool) {
        let messages = "jsonpath={.items[*].message}";
        self.kubectl_until(&["get", "events", "--field-selector", selector, "-o", messages], seen);
    }

    /// Waits until a command in the Pod prints what is wanted; what it printed.
    pub fn exec_until(&self, pod: &str, script: &str, seen: impl Fn(&str) -> bool) -> String {
        self.kubectl_until(&["exec", pod, "--", "sh", "-c", script], seen)
    }
}
