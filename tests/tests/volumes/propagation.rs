//! Mounts that containers make in volumes, and who sees them.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, wait};

/// A Pod whose container mounts the directory of the node at `/d`, and a volume of its own at `/e`.
fn run(cluster: &Cluster, name: &str, propagation: &str, script: &str) {
    let mounted = |volume: &str| json!({ "name": volume, "mountPath": format!("/{volume}"), "mountPropagation": propagation });
    let context = json!({ "runAsUser": 0, "privileged": propagation == "Bidirectional" });
    let more = json!({ "volumeMounts": [mounted("d"), mounted("e")], "securityContext": context });
    let volumes: Value = json!([
        { "name": "d", "hostPath": { "path": cluster.data_dir().join("shared") } },
        { "name": "e", "emptyDir": {} },
    ]);
    let main = with(shell("main", script), more);
    cluster.run_pod(
        name,
        &json!({ "terminationGracePeriodSeconds": 1, "volumes": volumes, "containers": [main] }),
    );
}

#[test]
fn mounts_in_shared_volumes_reach_the_node_and_other_pods_and_go_with_their_pod() {
    in_cluster(Options::default(), |cluster| {
        let shared = cluster.data_dir().join("shared");
        fs::create_dir_all(shared.join("m")).expect("the directory is new");
        let making = format!(
            "mkdir -p /e/m && mount -t tmpfs none /d/m && touch /d/m/made && mount -t tmpfs none /e/m && mkdir /e/node && \
             mount --rbind /d /e/node && touch /e/node/m/too && {IDLE}"
        );
        // The mounts of a test are nobody's peers at first.
        run(cluster, "refused", "Bidirectional", &making);
        cluster
            .until_told("involvedObject.name=refused", |told| told.contains("which is not a shared mount"));
        cluster.kubectl(&["delete", "pod", "refused", "--wait=false"]);
        mount(None::<&str>, &std::env::temp_dir(), None::<&str>, MsFlags::MS_SHARED, None::<&str>)
            .expect("the mount of the test can be shared");

        run(cluster, "watching", "HostToContainer", IDLE);
        run(cluster, "apart", "None", IDLE);
        cluster.wait_for("condition=Ready", &["pod/watching", "pod/apart"]);
        run(cluster, "making", "Bidirectional", &making);
        cluster.wait_for("condition=Ready", &["pod/making"]);
        wait::until("the mount to reach the node", || {
            let is_there = shared.join("m/too").exists() && shared.join("m/made").exists();
            if is_there { Ok(()) } else { Err("nothing is mounted there".to_owned()) }
        });
        let sees = |pod: &str| cluster.kubectl(&["exec", pod, "--", "ls", "/d/m"]);
        assert_eq!((sees("watching").as_str(), sees("apart").as_str()), ("made\ntoo\n", ""));

        cluster.kubectl(&["delete", "pod", "making", "--timeout=60s"]);
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts are listed");
        assert!(!mounts.contains("/e/"), "in its own volume mounts go with the Pod:\n{mounts}");
        assert!(shared.join("m/too").exists(), "and nothing else goes with them");
        umount2(&shared.join("m"), MntFlags::MNT_DETACH).expect("in a directory of the node they stay");
        assert_eq!(sees("watching"), "");
    });
}
