//! Containers added to a Pod that runs: common/node/ephemeral_containers, and `kubectl debug`.

use serde_json::{Value, json};
use wherry_tests::pods::{BUSYBOX, IDLE, shell};
use wherry_tests::{Cluster, Options, in_cluster, wait};

fn with_box(test: impl FnOnce(&Cluster) + Send) {
    in_cluster(Options::default(), |cluster| {
        cluster.run_pod(
            "box",
            &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", IDLE)] }),
        );
        cluster.wait_for("condition=Ready", &["pod/box"]);
        test(cluster);
    });
}

/// Adds ephemeral containers that run this script.
fn add(cluster: &Cluster, names: &[&str], script: &str) {
    let added: Vec<Value> = names
        .iter()
        .map(|name| json!({ "name": name, "image": BUSYBOX, "command": ["sh", "-c", script] }))
        .collect();
    let patch = json!({ "spec": { "ephemeralContainers": added } }).to_string();
    cluster.kubectl(&["patch", "pod", "box", "--subresource=ephemeralcontainers", "-p", &patch]);
}

fn until_running(cluster: &Cluster, name: &str) {
    wait::until(&format!("the ephemeral container {name}"), || {
        let statuses = cluster.get(&["pod", "box"])["status"]["ephemeralContainerStatuses"].clone();
        let mut all = statuses.as_array().into_iter().flatten();
        let runs = all.any(|status| status["name"] == name && status["state"]["running"].is_object());
        if runs { Ok(()) } else { Err(statuses.to_string()) }
    });
}

/// [sig-node] Ephemeral Containers will start an ephemeral container in an existing pod.
#[test]
fn ephemeral_container_creation() {
    with_box(|cluster| {
        add(cluster, &["debugger"], "echo polo; while read line; do echo $line; done; sleep 1000");
        until_running(cluster, "debugger");
        cluster.kubectl_until(&["logs", "box", "-c", "debugger"], |log| log == "polo\n");
        assert_eq!(cluster.kubectl(&["exec", "box", "-c", "debugger", "--", "echo", "marco"]), "marco\n");
    });
}

/// [sig-node] Ephemeral Containers should update the ephemeral containers in an existing pod.
#[test]
fn ephemeral_container_update_ephemeral_containers() {
    with_box(|cluster| {
        let count = || {
            let pod = cluster.get(&["pod", "box"]);
            pod["spec"]["ephemeralContainers"].as_array().map_or(0, Vec::len)
        };
        add(cluster, &["debugger"], "sleep 1000");
        until_running(cluster, "debugger");
        assert_eq!(count(), 1);
        add(cluster, &["debugger", "debugger2"], "sleep 1000");
        until_running(cluster, "debugger2");
        assert_eq!(count(), 2);
    });
}

#[test]
fn an_ephemeral_container_that_ends_is_not_started_again_and_does_not_end_its_pod() {
    with_box(|cluster| {
        add(cluster, &["brief"], "exit 3");
        wait::until("the ephemeral container to end", || {
            let brief = cluster.get(&["pod", "box"])["status"]["ephemeralContainerStatuses"][0].clone();
            if brief["state"]["terminated"]["exitCode"] == 3 && brief["restartCount"] == 0 {
                return Ok(());
            }
            Err(brief.to_string())
        });
        assert_eq!(cluster.get(&["pod", "box"])["status"]["phase"], "Running");
        assert_eq!(cluster.first_container("box")["ready"], true);
        cluster.kubectl(&["delete", "pod", "box", "--timeout=60s"]);
    });
}

#[test]
fn kubectl_debug_shows_the_processes_of_the_container_it_names() {
    with_box(|cluster| {
        let image = format!("--image={BUSYBOX}");
        cluster.kubectl(&[
            "debug",
            "box",
            &image,
            "--target=main",
            "--container=debugger",
            "--profile=general",
            "--",
            "sh",
            "-c",
            "ps -o pid,args; sleep 1000",
        ]);
        until_running(cluster, "debugger");
        let seen = cluster.kubectl_until(&["logs", "box", "-c", "debugger"], |log| log.contains("ps -o"));
        assert!(seen.contains("1 sh -c trap"), "{seen}");
        // It ends with its Pod although it is not the first process it sees.
        cluster.kubectl(&["delete", "pod", "box", "--timeout=60s"]);
    });
}

/// A Pod of WebAssembly has no namespace of a network that a debugger could share: it has one of its own with nothing in it, and what the Pod
/// mounts.
#[test]
fn a_pod_of_wasm_containers_only_takes_a_debugger() {
    in_cluster(Options::default(), |cluster| {
        let main = json!({
            "name": "main", "image": "127.0.0.1:5000/cli-p2:v1", "args": ["write", "/data/out", "kept", "sleep", "600000"],
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        });
        let volumes = json!([{ "name": "data", "emptyDir": {} }]);
        cluster.run_pod(
            "box",
            &json!({ "terminationGracePeriodSeconds": 1, "containers": [main], "volumes": volumes }),
        );
        cluster.wait_for("condition=Ready", &["pod/box"]);
        let script =
            "until test -e /data/out; do sleep 0.1; done; cat /data/out; echo; ls /sys/class/net; sleep 1000";
        let debugger = json!({
            "name": "debugger", "image": BUSYBOX, "command": ["sh", "-c", script],
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        });
        let patch = json!({ "spec": { "ephemeralContainers": [debugger] } }).to_string();
        cluster.kubectl(&["patch", "pod", "box", "--subresource=ephemeralcontainers", "-p", &patch]);
        until_running(cluster, "debugger");
        cluster.kubectl_until(&["logs", "box", "-c", "debugger"], |log| log == "kept\nlo\n");
        assert_eq!(cluster.kubectl(&["exec", "box", "-c", "debugger", "--", "echo", "marco"]), "marco\n");
        assert_eq!(cluster.first_container("box")["ready"], true);
        cluster.kubectl(&["delete", "pod", "box", "--timeout=60s"]);
        assert_eq!(cluster.left_behind(), Vec::<String>::new());
    });
}
