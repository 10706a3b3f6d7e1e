//! Pods and the `RuntimeClass` they name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use wherry_tests::{Cluster, Options, in_cluster};

use crate::{output_of, pod};

/// Debian's crun in a directory of its own. It refuses machines whose controllers are of both versions of cgroups, as build machines may
/// be, so there it sees those of version 1 alone.
const CRUN: &str = "#!/bin/sh
exec unshare --mount sh -c 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun \"$@\"' crun \"$@\"
";

fn class(cluster: &Cluster, more: &Value) {
    let mut class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "mine" }, "handler": "runc",
    });
    class["overhead"] = more.clone();
    cluster.create(&class.to_string());
}

fn pod_of_class() -> String {
    let mut pod = pod("classy", &json!({ "command": ["true"] }));
    pod["spec"]["runtimeClassName"] = json!("mine");
    pod.to_string()
}

fn is_rejected(cluster: &Cluster) {
    let refused = cluster.try_create(&pod_of_class());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("RuntimeClass \"mine\" not found"), "{error}");
}

/// [sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass.
#[test]
fn pod_with_the_non_existing_runtimeclass_is_rejected() {
    in_cluster(Options::default(), |cluster| is_rejected(cluster));
}

/// [sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass.
#[test]
fn pod_with_the_deleted_runtimeclass_is_rejected() {
    in_cluster(Options::default(), |cluster| {
        class(cluster, &Value::Null);
        cluster.kubectl(&["delete", "runtimeclass", "mine"]);
        is_rejected(cluster);
    });
}

/// [sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead.
#[test]
fn can_schedule_a_pod_requesting_existing_runtimeclass() {
    in_cluster(Options::default(), |cluster| {
        class(cluster, &Value::Null);
        assert!(cluster.create(&pod_of_class())["spec"].get("overhead").is_none());
        cluster.wait_for("condition=PodScheduled", &["pod/classy"]);
    });
}

/// [sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead.
#[test]
fn runtimeclass_overhead_field_must_be_respected() {
    in_cluster(Options::default(), |cluster| {
        let overhead = json!({ "cpu": "10m", "memory": "1Mi" });
        class(cluster, &json!({ "podFixed": overhead }));
        assert_eq!(cluster.create(&pod_of_class())["spec"]["overhead"], overhead);
        cluster.wait_for("condition=PodScheduled", &["pod/classy"]);
    });
}

/// A directory that tests with temporary files of their own see, too.
fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A cluster whose node finds crun there first.
fn with_crun(dir: &Path, flags: &[&str]) -> Options {
    let program = dir.join("crun");
    fs::write(&program, CRUN).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.display(), env::var("PATH").unwrap());
    Options {
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        env: vec![("PATH".to_owned(), path)],
    }
}

fn class_of(cluster: &Cluster, handler: &str) {
    let class = json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": handler }, "handler": handler });
    cluster.create(&class.to_string());
}

/// Which OCI runtimes keep records of containers, by the files that they keep them in.
fn keepers(cluster: &Cluster) -> Vec<&'static str> {
    let kept = fs::read_dir(cluster.data_dir().join("node/oci/runtime")).unwrap().flatten();
    let of = |path: &Path| match (path.join("state.json").exists(), path.join("status").exists()) {
        (true, false) => "runc",
        (false, true) => "crun",
        other => panic!("{}: {other:?}", path.display()),
    };
    let mut keepers: Vec<_> = kept.map(|entry| of(&entry.path())).collect();
    keepers.sort_unstable();
    keepers
}

fn sleeper(name: &str, class: &str) -> Value {
    let mut pod = pod(name, &json!({ "command": ["sh", "-c", "echo up; exec sleep 1000"] }));
    pod["spec"]["runtimeClassName"] = json!(class);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    pod
}

#[test]
fn the_runtime_class_names_the_oci_runtime() {
    let dir = place();
    in_cluster(with_crun(dir.path(), &[]), |cluster| {
        let path = "jsonpath={.status.runtimeHandlers[*].name}";
        let handlers = cluster.kubectl(&["get", "node", "node-1", "-o", path]);
        let handlers: Vec<&str> = handlers.split(' ').collect();
        for handler in ["wasmtime", "runc", "crun"] {
            assert!(handlers.contains(&handler), "{handlers:?}");
        }
        class_of(cluster, "crun");
        for class in ["crun", "runc"] {
            cluster.apply(&sleeper(class, class).to_string());
            cluster.wait_for("condition=Ready", &[&format!("pod/{class}")]);
            assert_eq!(cluster.kubectl(&["logs", class]), "up\n");
        }
        assert_eq!(keepers(cluster), ["crun", "runc"]);
        // The next agent takes both over.
        cluster.kill();
        cluster.launch();
        for class in ["crun", "runc"] {
            cluster.exec_until(class, "echo here", |text| text == "here\n");
            let path = "jsonpath={.status.containerStatuses[0].restartCount}";
            assert_eq!(cluster.kubectl(&["get", "pod", class, "-o", path]), "0");
        }
        let mut greedy = pod(
            "greedy",
            &json!({
                "command": ["sh", "-c", "sleep 0.2; tail /dev/zero"], "resources": { "limits": { "memory": "16Mi" } },
            }),
        );
        greedy["spec"]["runtimeClassName"] = json!("crun");
        cluster.apply(&greedy.to_string());
        cluster.wait_for("jsonpath={.status.phase}=Failed", &["pod/greedy"]);
        let path = "jsonpath={.status.containerStatuses[0].state.terminated.reason}";
        assert_eq!(cluster.kubectl(&["get", "pod", "greedy", "-o", path]), "OOMKilled");
        cluster.kubectl(&["delete", "pods", "--all"]);
        assert_eq!(cluster.left_behind(), [""; 0]);
    });
}

#[test]
fn pods_have_the_nodes_usual_oci_runtime_unless_they_name_another() {
    let dir = place();
    let program = dir.path().join("crun").display().to_string();
    in_cluster(with_crun(dir.path(), &["--oci-runtime", &program]), |cluster| {
        assert_eq!(output_of(cluster, &pod("plain", &json!({ "command": ["echo", "hi"] }))), "hi\n");
        cluster.kubectl(&["delete", "pod", "plain", "--grace-period=1"]);
        cluster.kubectl(&["run", "usual", "--image", crate::IMAGE, "--command", "--", "sleep", "1000"]);
        cluster.apply(&sleeper("other", "runc").to_string());
        cluster.wait_for("condition=Ready", &["pod/usual", "pod/other"]);
        assert_eq!(keepers(cluster), ["crun", "runc"]);
    });
}

#[test]
fn a_pod_whose_runtime_is_not_here_waits_and_is_told() {
    in_cluster(Options::default(), |cluster| {
        class_of(cluster, "gvisor");
        cluster.apply(&sleeper("lost", "gvisor").to_string());
        let events = [
            "get",
            "events",
            "--field-selector",
            "reason=FailedCreatePodSandBox",
            "-o",
            "jsonpath={.items[*].message}",
        ];
        let told = "Failed to create pod sandbox: no runtime for \"gvisor\" is configured";
        cluster.kubectl_until(&events, |messages| messages.contains(told));
    });
}
