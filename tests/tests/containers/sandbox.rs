//! What the containers of a Pod share, and what they are told to run as.

use serde_json::json;
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Options, in_cluster};

#[test]
fn containers_of_a_pod_share_memory_and_if_asked_their_processes() {
    in_cluster(Options::default(), |cluster| {
        let containers = json!([
            shell("writer", &format!("echo shared > /dev/shm/note; {IDLE}")),
            shell("reader", &format!("until cat /dev/shm/note; do sleep 0.05; done; {IDLE}")),
        ]);
        let security = json!({ "supplementalGroups": [4000], "fsGroup": 3000,
            "sysctls": [{ "name": "kernel.shm_rmid_forced", "value": "1" }] });
        let spec = json!({ "shareProcessNamespace": true, "terminationGracePeriodSeconds": 1,
            "securityContext": security, "containers": containers });
        cluster.run_pod("pair", &spec);
        cluster.wait_for("condition=Ready", &["pod/pair"]);
        cluster.kubectl_until(&["logs", "pair", "-c", "reader"], |log| log.ends_with("shared\n"));
        let seen = cluster.kubectl(&["exec", "pair", "-c", "reader", "--", "ps", "-o", "pid,args"]);
        assert!(seen.contains("1 /pause") && seen.contains("echo shared"), "{seen}");
        // The programs of one are within reach of the other; the first process takes no signal.
        let writer = seen.lines().find(|line| line.contains("echo shared")).expect("it is there");
        let writer = writer.split_whitespace().next().expect("its id comes first");
        let script = format!("kill -KILL 1; kill -KILL {writer}");
        cluster.kubectl(&["exec", "pair", "-c", "reader", "--", "sh", "-c", &script]);
        let restarts = "jsonpath={.status.containerStatuses[*].restartCount}";
        cluster.kubectl_until(&["get", "pod", "pair", "-o", restarts], |counts| counts == "1 0");
        let user = cluster.first_container("pair")["user"].clone();
        assert_eq!(user, json!({ "linux": { "uid": 0, "gid": 0, "supplementalGroups": [0, 3000, 4000] } }));
        let features = cluster.get(&["node", "node-1"])["status"]["features"].clone();
        assert_eq!(features, json!({ "supplementalGroupsPolicy": true }));
        cluster.kubectl(&["delete", "pod", "pair", "--timeout=60s"]);
    });
}
