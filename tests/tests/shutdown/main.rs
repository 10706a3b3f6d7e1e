//! A node whose machine goes down, and that has time for it, ends its Pods first.

#[cfg(test)]
mod logind;

use std::os::unix::fs::PermissionsExt as _;

use logind::Logind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Cluster, Options, Registry, in_cluster, isolated, one_shot, wait};

/// Goes on until it is killed.
const STUBBORN: &str = "trap '' TERM; while true; do sleep 0.1; done";

#[test]
fn pods_end_by_priority_before_their_node_stops_and_say_why() {
    let flags = ["--shutdown-grace-period=7s", "--shutdown-grace-period-critical-pods=3s"];
    // There is no such bus, so the process itself is all that can be told.
    let env = vec![("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), "unix:path=/nobody/listens".to_owned())];
    in_cluster(Options { flags: flags.map(str::to_owned).to_vec(), env }, |cluster| {
        let critical =
            json!({ "priorityClassName": "system-node-critical", "containers": [shell("main", IDLE)] });
        cluster.run_pod("critical", &critical);
        cluster.run_pod("stubborn", &json!({ "containers": [shell("main", STUBBORN)] }));
        for pod in ["critical", "stubborn"] {
            cluster.wait_for("condition=Ready", &[&format!("pod/{pod}")]);
        }
        kill(Pid::from_raw(i32::try_from(cluster.pid()).expect("a pid fits")), Signal::SIGTERM)
            .expect("the cluster runs");

        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")]}";
        let told =
            cluster.kubectl_until(&["get", "node", "node-1", "-o", ready], |told| told.contains("False"));
        assert!(told.contains("\"KubeletNotReady\"") && told.contains("\"node is shutting down\""), "{told}");
        let late = one_shot("late", "hello-oci:v1", "  nodeName: node-1\n");
        cluster.apply(&late);
        cluster.until_phase("late", "Failed");
        assert_eq!(cluster.get(&["pod", "late"])["status"]["reason"], "NodeShutdown");
        assert_eq!(cluster.get(&["pod", "critical"])["status"]["phase"], "Running", "it is not its turn");
        assert!(cluster.terminate());

        cluster.launch();
        cluster.wait_for("condition=Ready", &["node/node-1"]);
        let ended = |name: &str| -> Value {
            let status = cluster.get(&["pod", name])["status"].clone();
            let message = "Pod was terminated in response to imminent node shutdown.";
            assert_eq!(
                (&status["phase"], &status["reason"], &status["message"]),
                (&json!("Failed"), &json!("Terminated"), &json!(message))
            );
            let conditions = status["conditions"].as_array().expect("there are conditions");
            let target = conditions.iter().find(|it| it["type"] == "DisruptionTarget").expect("it is one");
            assert_eq!(
                (&target["reason"], &target["message"]),
                (&json!("TerminationByKubelet"), &json!(message))
            );
            status["containerStatuses"][0]["state"]["terminated"].clone()
        };
        let (stubborn, critical) = (ended("stubborn"), ended("critical"));
        assert_eq!((&stubborn["exitCode"], &critical["exitCode"]), (&json!(137), &json!(0)));
        let at = |ended: &Value| ended["finishedAt"].as_str().expect("it is known").to_owned();
        assert!(at(&stubborn) <= at(&critical), "{stubborn} {critical}");
    });
}

fn running(cluster: &Cluster, pod: &str) -> bool {
    let status = cluster.get(&["pod", pod])["status"].clone();
    status["phase"] == "Running" && status["containerStatuses"][0]["restartCount"] == 0
}

fn until_delays(logind: &Logind, count: usize) {
    wait::until(&format!("{count} delays"), || {
        let held = logind.delays();
        if held == count { Ok(()) } else { Err(format!("there are {held}")) }
    });
}

#[test]
fn where_logind_tells_only_the_end_of_the_machine_ends_pods() {
    isolated(|| {
        let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o711)).tempdir();
        let dir = dir.expect("a temporary directory can be made");
        let _registry = Registry::start(dir.path());
        let logind = Logind::start(dir.path());
        let env = vec![("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), logind.address())];
        let flags = vec!["--shutdown-grace-period-by-pod-priority=0=3s,1000=2s,2000000000=1s".to_owned()];
        let mut cluster = Cluster::start(dir.path(), Options { flags, env });
        until_delays(&logind, 1);
        cluster.run_pod("main", &json!({ "containers": [shell("main", IDLE)] }));
        cluster.wait_for("condition=Ready", &["pod/main"]);
        let began = cluster.first_container("main")["state"]["running"]["startedAt"].clone();

        assert!(cluster.terminate());
        until_delays(&logind, 0);
        cluster.launch();
        until_delays(&logind, 1);
        cluster.wait_for("condition=Ready", &["node/node-1"]);
        assert!(running(&cluster, "main"));
        assert_eq!(cluster.first_container("main")["state"]["running"]["startedAt"], began, "it went on");

        logind.tell(true);
        cluster.until_phase("main", "Failed");
        assert_eq!(cluster.get(&["pod", "main"])["status"]["reason"], "Terminated");
        until_delays(&logind, 0);
        cluster.wait_for("condition=Ready=false", &["node/node-1"]);

        logind.tell(false);
        cluster.wait_for("condition=Ready", &["node/node-1"]);
        until_delays(&logind, 1);
        cluster.run_pod(
            "next",
            &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", IDLE)] }),
        );
        cluster.wait_for("condition=Ready", &["pod/next"]);
        cluster.until_told("reason=Shutdown", |told| {
            told.contains("shutdown event") && told.contains("cancellation")
        });
    });
}
