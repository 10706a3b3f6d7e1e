//! A node that is short of something says so, and takes no more Pods.

use serde_json::json;
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Options, in_cluster, one_shot};

#[test]
fn a_node_below_its_threshold_is_tainted_and_gets_no_pods() {
    let flags = ["--eviction-hard", "nodefs.available<100%"].map(str::to_owned).to_vec();
    in_cluster(Options { flags, ..Options::default() }, |cluster| {
        cluster.wait_for("condition=DiskPressure", &["node/node-1"]);
        let taints = ["get", "node", "node-1", "-o", "jsonpath={.spec.taints[*].key}"];
        cluster.kubectl_until(&taints, |keys| keys.contains("node.kubernetes.io/disk-pressure"));
        cluster.apply(&one_shot("waiting", "hello-oci:v1", ""));
        let why = "jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].message}";
        cluster.kubectl_until(&["get", "pod", "waiting", "-o", why], |message| {
            message.contains("untolerated taint")
        });
    });
}

#[test]
fn pods_that_take_more_of_the_disk_than_they_may_are_evicted() {
    in_cluster(Options::default(), |cluster| {
        let write = |path: &str| format!("dd if=/dev/zero of={path} bs=64k count=32 2> /dev/null; {IDLE}");
        let mounts = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
        let volumes = json!([{ "name": "v", "emptyDir": { "sizeLimit": "1Mi" } }]);
        let filling = with(shell("main", &write("/v/file")), mounts);
        cluster.run_pod("volume", &json!({ "containers": [filling], "volumes": volumes }));
        let limits = json!({ "resources": { "limits": { "ephemeral-storage": "1Mi" } } });
        let writing = with(shell("main", &write("/tmp/file")), limits);
        cluster.run_pod("container", &json!({ "containers": [writing] }));
        for (pod, message) in [
            ("volume", "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "),
            ("container", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "),
        ] {
            cluster.until_phase(pod, "Failed");
            let status = cluster.get(&["pod", pod])["status"].clone();
            assert_eq!((&status["reason"], &status["message"]), (&json!("Evicted"), &json!(message)));
            assert!(status["conditions"].to_string().contains("TerminationByKubelet"), "{status:#}");
        }
    });
}

#[test]
fn a_threshold_that_cannot_be_used_is_refused_at_once() {
    let mut wherry = std::process::Command::new(wherry_tests::wherry_binary());
    let refused = wherry.args(["up", "--eviction-hard", "swap.free<1Gi"]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("names no signal of this node"), "{error}");
}
