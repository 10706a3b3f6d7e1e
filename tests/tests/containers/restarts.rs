//! Which containers are started again: the restart policies of common/node/runtime, and rules of a container's own.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, wait};

/// A Pod whose container fails, then succeeds, then stays.
fn run(cluster: &Cluster, name: &str, policy: &str) {
    let script =
        format!("echo hello >> /count/n; case $(wc -l < /count/n) in 1) exit 1;; 2) exit 0;; esac; {IDLE}");
    let mounts = json!({ "volumeMounts": [{ "name": "count", "mountPath": "/count" }] });
    cluster.run_pod(
        name,
        &json!({
            "restartPolicy": policy, "volumes": [{ "name": "count", "emptyDir": {} }],
            "containers": [with(shell("main", &script), mounts)],
        }),
    );
}

fn until(cluster: &Cluster, name: &str, expected: &Value) {
    wait::until(&format!("{name} to be {expected}"), || {
        let status = cluster.get(&["pod", name])["status"].clone();
        let main = &status["containerStatuses"][0];
        let found = json!([status["phase"], main["restartCount"], main["ready"]]);
        if found == *expected { Ok(()) } else { Err(found.to_string()) }
    });
}

/// [sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected status.
#[test]
fn container_runtime_restart_policy_pod_phases() {
    in_cluster(Options::hasty(), |cluster| {
        for (name, policy) in [("always", "Always"), ("on-failure", "OnFailure"), ("never", "Never")] {
            run(cluster, name, policy);
        }
        until(cluster, "never", &json!(["Failed", 0, false]));
        until(cluster, "on-failure", &json!(["Succeeded", 1, false]));
        until(cluster, "always", &json!(["Running", 2, true]));
    });
}

#[test]
fn a_containers_own_rules_go_before_the_pods_policy() {
    in_cluster(Options::hasty(), |cluster| {
        let rule = json!({ "action": "Restart", "exitCodes": { "operator": "In", "values": [42] } });
        let rules = json!({ "restartPolicy": "Never", "restartPolicyRules": [rule] });
        let script = "if [ -e /count/n ]; then exit 7; fi; touch /count/n; exit 42";
        let mounts = json!({ "volumeMounts": [{ "name": "count", "mountPath": "/count" }] });
        let main = with(with(shell("main", script), mounts), rules);
        let spec = json!({ "restartPolicy": "Always", "volumes": [{ "name": "count", "emptyDir": {} }], "containers": [main] });
        cluster.run_pod("ruled", &spec);
        until(cluster, "ruled", &json!(["Failed", 1, false]));
        assert_eq!(cluster.first_container("ruled")["state"]["terminated"]["exitCode"], 7);
    });
}
