//! A Pod that shows what is in its volumes.

use serde_json::{Value, json};

use crate::Cluster;

/// A Pod of one container that mounts volumes at `/v0`, `/v1` and so on, run by root.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The Pod, but for what its container runs.
    pub pod: Value,
}

impl Viewer {
    /// The name of the Pod.
    pub const NAME: &'static str = "viewer";

    /// A Pod with volumes of these sources: `{"emptyDir": {}}`.
    pub fn of(sources: &[Value]) -> Self {
        let place = |(number, source): (usize, &Value)| {
            let mut volume = source.clone();
            volume["name"] = json!(format!("v{number}"));
            (volume, json!({ "name": format!("v{number}"), "mountPath": format!("/v{number}") }))
        };
        let (volumes, mounts): (Vec<_>, Vec<_>) = sources.iter().enumerate().map(place).unzip();
        let container =
            json!({ "name": "main", "image": "127.0.0.1:5000/hello-oci:v1", "volumeMounts": mounts });
        Self {
            pod: json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": Self::NAME },
                "spec": {
                    "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "volumes": volumes,
                    "containers": [container], "securityContext": { "runAsUser": 0 },
                },
            }),
        }
    }

    /// The same, run by this user instead.
    #[must_use]
    pub fn as_user(mut self, uid: u32) -> Self {
        self.pod["spec"]["securityContext"]["runAsUser"] = json!(uid);
        self
    }

    /// The same, with its files given to this group.
    #[must_use]
    pub fn with_group(mut self, gid: u32) -> Self {
        self.pod["spec"]["securityContext"]["fsGroup"] = json!(gid);
        self
    }

    /// The container, to be changed.
    pub fn container(&mut self) -> &mut Value {
        &mut self.pod["spec"]["containers"][0]
    }

    /// Runs a script in the Pod to its end; what it wrote, without the end of its last line.
    pub fn shows(mut self, cluster: &Cluster, script: &str) -> String {
        self.container()["command"] = json!(["sh", "-c", script]);
        cluster.apply(&self.pod.to_string());
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod", Self::NAME]);
        cluster.kubectl(&["logs", Self::NAME]).trim_end().to_owned()
    }

    /// Starts the Pod, which then does nothing. It has no annotations but its own.
    pub fn start(mut self, cluster: &Cluster) {
        for container in self.pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            container["command"] = json!(["sleep", "600"]);
        }
        self.create(cluster);
        cluster.wait_for("condition=Ready", &["pod", Self::NAME]);
    }

    /// Makes the Pod.
    pub fn create(&self, cluster: &Cluster) {
        cluster.create(&self.pod.to_string());
    }

    /// Waits until the file shows the text to the container.
    pub fn until_shown(cluster: &Cluster, container: &str, file: &str, text: &str) {
        Self::until(cluster, container, &format!("cat {file}"), |shown| shown == text);
    }

    /// Waits until the file is not there.
    pub fn until_gone(cluster: &Cluster, container: &str, file: &str) {
        Self::until(cluster, container, &format!("test -e {file} || echo gone"), |shown| shown == "gone\n");
    }

    fn until(cluster: &Cluster, container: &str, script: &str, seen: impl Fn(&str) -> bool) {
        cluster.kubectl_until(&["exec", Self::NAME, "-c", container, "--", "sh", "-c", script], seen);
    }
}
