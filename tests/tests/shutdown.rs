//! A node that is asked to stop, and has time for it, ends its Pods first.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Options, in_cluster, one_shot};

/// Goes on until it is killed.
const STUBBORN: &str = "trap '' TERM; while true; do sleep 0.1; done";

#[test]
fn pods_end_by_priority_before_their_node_stops_and_say_why() {
    let flags = ["--shutdown-grace-period=7s", "--shutdown-grace-period-critical-pods=3s"];
    let options = Options { flags: flags.map(str::to_owned).to_vec(), ..Options::default() };
    in_cluster(options, |cluster| {
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
