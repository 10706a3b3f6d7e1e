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
        for (name, policy) in [("of-always", "Always"), ("of-never", "Never")] {
            let volumes = json!([{ "name": "count", "emptyDir": {} }]);
            let spec = json!({ "restartPolicy": policy, "volumes": volumes, "containers": [main] });
            cluster.run_pod(name, &spec);
            until(cluster, name, &json!(["Failed", 1, false]));
            assert_eq!(cluster.first_container(name)["state"]["terminated"]["exitCode"], 7);
        }
    });
}

/// KEP-5532, with a container of each kind as the one that asks for it.
#[test]
fn one_container_may_have_all_of_its_pod_begin_anew() {
    in_cluster(Options::hasty(), |cluster| {
        let rule =
            json!({ "action": "RestartAllContainers", "exitCodes": { "operator": "In", "values": [42] } });
        let rules = json!({ "restartPolicy": "Never", "restartPolicyRules": [rule] });
        let mounts = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
        let wasm = |name: &str, args: &[&str]| json!({ "name": name, "image": "127.0.0.1:5000/cli-p2:v1", "args": args });
        let first = "echo begun >> /v/begun; [ $(wc -l < /v/begun) -gt 1 ] || touch /v/first";
        for (name, watch) in [
            (
                "by-shell",
                shell(
                    "watch",
                    "until [ -e /v/a -a -e /v/b -a -e /v/c ]; do sleep 0.1; done; mv /v/first /v/second && exit 42; exit 3",
                ),
            ),
            (
                "by-wasm",
                wasm(
                    "watch",
                    &[
                        "await",
                        "/v/a",
                        "await",
                        "/v/b",
                        "await",
                        "/v/c",
                        "rename",
                        "/v/first",
                        "/v/second",
                        "exit",
                        "42",
                    ],
                ),
            ),
        ] {
            let lasts = shell("lasts", "trap '' TERM; touch /v/a; while :; do sleep 0.1; done");
            cluster.run_pod(
                name,
                &json!({
                    "restartPolicy": "Never", "volumes": [{ "name": "v", "emptyDir": {} }],
                    "terminationGracePeriodSeconds": 300,
                    "initContainers": [with(shell("init", first), mounts.clone())],
                    "containers": [
                        with(lasts, mounts.clone()),
                        with(wasm("wasm", &["write", "/v/b", "", "sleep", "6000000"]), mounts.clone()),
                        with(shell("ends", "touch /v/c"), mounts.clone()),
                        with(with(watch, mounts.clone()), rules.clone()),
                    ],
                }),
            );
            let begun = cluster.get(&["pod", name]);
            until_begun_anew(cluster, name);
            let pod = cluster.get(&["pod", name]);
            assert_eq!(pod["metadata"]["uid"], begun["metadata"]["uid"]);
            let counted = cluster.kubectl(&["exec", name, "-c", "lasts", "--", "cat", "/v/begun"]);
            assert_eq!(counted, "begun\nbegun\n", "the volume is the one it was");
            let killed = &status_of(&pod, "lasts")["lastState"]["terminated"]["exitCode"];
            assert_eq!(*killed, 137, "it was not waited for");
            assert_eq!(status_of(&pod, "watch")["lastState"]["terminated"]["exitCode"], 42);
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let over = conditions.iter().find(|one| one["type"] == "AllContainersRestarting");
            assert_eq!(over.map(|one| one["status"].clone()), Some(json!("False")));
            cluster.kubectl(&["delete", "pod", name, "--now"]);
        }
    });
}

fn status_of<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let lists = [&pod["status"]["containerStatuses"], &pod["status"]["initContainerStatuses"]];
    let mut all = lists.into_iter().filter_map(Value::as_array).flatten();
    all.find(|status| status["name"] == container).unwrap_or(&Value::Null)
}

/// Every container has begun once more, and the one that asked for it ended otherwise.
fn until_begun_anew(cluster: &Cluster, name: &str) {
    wait::until(&format!("{name} to have begun anew"), || {
        let pod = cluster.get(&["pod", name]);
        let all = ["init", "lasts", "wasm", "ends", "watch"].map(|name| status_of(&pod, name));
        let begun = all.iter().all(|status| status["restartCount"] == 1);
        let [_, lasts, wasm, ends, watch] = all;
        let runs = [lasts, wasm].iter().all(|status| status["state"]["running"].is_object());
        let exit = |status: &Value| status["state"]["terminated"]["exitCode"].as_i64();
        let ended = exit(ends) == Some(0) && exit(watch).is_some_and(|code| code != 42);
        if begun && runs && ended { Ok(()) } else { Err(pod["status"].to_string()) }
    });
}
