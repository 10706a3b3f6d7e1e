//! A node that is short of something says so, and takes no more Pods.

use serde_json::{Value, json};
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
fn pods_of_a_node_that_is_short_of_memory_are_evicted_by_rank() {
    let flags = ["--eviction-hard", "memory.available<100%"].map(str::to_owned).to_vec();
    in_cluster(Options { flags, ..Options::default() }, |cluster| {
        cluster.wait_for("condition=MemoryPressure", &["node/node-1"]);
        let run = |name: &str, more: &Value, resources: &Value| {
            let main = with(shell("main", IDLE), json!({ "resources": resources }));
            let mut spec = json!({ "tolerations": [{ "operator": "Exists" }], "containers": [main] });
            for (field, value) in more.as_object().into_iter().flatten() {
                spec[field] = value.clone();
            }
            cluster.run_pod(name, &spec);
        };
        run("greedy", &json!({}), &json!({}));
        run("modest", &json!({}), &json!({ "requests": { "memory": "256Mi" } }));
        run("critical", &json!({ "priorityClassName": "system-node-critical" }), &json!({}));
        let evicted = |name: &str| {
            cluster.until_phase(name, "Failed");
            let status = cluster.get(&["pod", name])["status"].clone();
            assert_eq!(status["reason"], "Evicted");
            let conditions = status["conditions"].as_array().expect("there are conditions");
            let target = conditions.iter().find(|it| it["type"] == "DisruptionTarget").expect("it is one");
            assert_eq!(target["reason"], "TerminationByKubelet");
            let message = status["message"].as_str().expect("it says why").to_owned();
            assert!(
                message.starts_with("The node was low on resource: memory. Threshold quantity: "),
                "{message}"
            );
            (target["lastTransitionTime"].to_string(), message)
        };
        let (first, why) = evicted("greedy");
        assert!(why.contains("Container main was using ") && why.contains("request is 0, "), "{why}");
        let (second, why) = evicted("modest");
        assert!(first <= second && !why.contains("Container"), "{first} {second} {why}");
        cluster.wait_for("condition=Ready", &["pod/critical"]);
        cluster.kubectl_until(&["get", "events", "-A"], |events| events.contains("EvictionThresholdMet"));
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
    let mut wherry = std::process::Command::new(wherry_tests::wherry_binary());
    let dir = tempfile::tempdir().expect("a directory can be made");
    let soft = ["up", "--eviction-soft", "memory.available<1Gi", "--data-dir"];
    let refused = wherry.args(soft).arg(dir.path()).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("needs a grace period"), "{error}");
}
