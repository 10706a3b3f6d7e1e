//! Pods as users see them: common/node/pods and node/pods.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, Proxy, in_cluster, wait, websocket};

fn idle(cluster: &Cluster, name: &str) {
    cluster
        .run_pod(name, &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", IDLE)] }));
    cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
}

fn names(cluster: &Cluster, selector: &str) -> String {
    cluster.kubectl(&["get", "pods", "-l", selector, "-o", "name"])
}

/// [sig-node] Pods should get a host IP.
#[test]
fn pods_assigned_hostip() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "hosted");
        let status = cluster.get(&["pod", "hosted"])["status"].clone();
        let ip = status["hostIP"].as_str().unwrap();
        assert!(ip.parse::<std::net::IpAddr>().is_ok(), "{ip}");
        assert_eq!(status["hostIPs"], json!([{ "ip": ip }]));
    });
}

/// [sig-node] Pods should be submitted and removed.
#[test]
fn pods_lifecycle() {
    in_cluster(Options::default(), |cluster| {
        let mut watch = cluster.kubectl_command(&[
            "get",
            "pods",
            "-l",
            "app=brief",
            "--watch",
            "--output-watch-events",
            "-o",
            "json",
        ]);
        let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
        let events = serde_json::Deserializer::from_reader(BufReader::new(watch.stdout.take().unwrap()));
        let mut events = events.into_iter::<Value>().map(Result::unwrap);
        idle(cluster, "brief");
        assert_eq!(names(cluster, "app=brief"), "pod/brief\n");
        let mut until = |seen: &dyn Fn(&Value) -> bool| events.find(seen).unwrap();
        until(&|event| event["type"] == "ADDED");
        until(&|event| event["object"]["status"]["phase"] == "Running");
        cluster.kubectl(&["delete", "pod", "brief", "--timeout=60s"]);
        until(&|event| event["object"]["metadata"]["deletionTimestamp"].is_string());
        until(&|event| event["type"] == "DELETED");
        watch.kill().unwrap();
        watch.wait().unwrap();
        assert_eq!(names(cluster, "app=brief"), "");
    });
}

/// [sig-node] Pods should be updated.
#[test]
fn pods_update() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "labelled");
        assert_eq!(names(cluster, "app=labelled"), "pod/labelled\n");
        let mut pod = cluster.get(&["pod", "labelled"]);
        pod["metadata"]["labels"]["app"] = json!("relabelled");
        let output = cluster.fed(&["replace", "-f", "-"], &pod.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(names(cluster, "app=relabelled"), "pod/labelled\n");
        assert_eq!(names(cluster, "app=labelled"), "");
    });
}

/// [sig-node] Pods should allow activeDeadlineSeconds to be updated.
#[test]
fn pods_activedeadlineseconds() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "limited");
        assert_eq!(names(cluster, "app=limited"), "pod/limited\n");
        cluster.kubectl(&["patch", "pod", "limited", "-p", "{\"spec\":{\"activeDeadlineSeconds\":2}}"]);
        cluster.until_phase("limited", "Failed");
        assert_eq!(cluster.get(&["pod", "limited"])["status"]["reason"], "DeadlineExceeded");
    });
}

/// [sig-node] Pods should contain environment variables for services.
#[test]
fn pods_service_environment_variables() {
    in_cluster(Options::default(), |cluster| {
        cluster.create(
            &json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "fooservice" },
                "spec": { "selector": { "app": "server" }, "ports": [{ "port": 8765, "targetPort": 8080 }] },
            })
            .to_string(),
        );
        let ip = cluster.kubectl(&["get", "service", "fooservice", "-o", "jsonpath={.spec.clusterIP}"]);
        cluster.run_pod("client", &json!({ "restartPolicy": "Never", "containers": [shell("main", "env")] }));
        cluster.until_phase("client", "Succeeded");
        let env = cluster.kubectl(&["logs", "client"]);
        for expected in [
            format!("FOOSERVICE_SERVICE_HOST={ip}"),
            "FOOSERVICE_SERVICE_PORT=8765".to_owned(),
            format!("FOOSERVICE_PORT=tcp://{ip}:8765"),
            "FOOSERVICE_PORT_8765_TCP_PORT=8765".to_owned(),
            "FOOSERVICE_PORT_8765_TCP_PROTO=tcp".to_owned(),
            format!("FOOSERVICE_PORT_8765_TCP=tcp://{ip}:8765"),
            format!("FOOSERVICE_PORT_8765_TCP_ADDR={ip}"),
        ] {
            assert!(env.lines().any(|line| line == expected), "{expected} in\n{env}");
        }
    });
}

/// [sig-node] Pods should patch a pod status.
#[test]
fn pods_patching_status() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "patched");
        let patch = "{\"status\":{\"message\":\"Patched by a test\",\"reason\":\"E2E\"}}";
        let args = ["patch", "pod", "patched", "--subresource=status", "-p", patch, "-o", "json"];
        let pod: Value = serde_json::from_str(&cluster.kubectl(&args)).unwrap();
        assert_eq!(
            (&pod["status"]["message"], &pod["status"]["reason"]),
            (&json!("Patched by a test"), &json!("E2E"))
        );
        assert_eq!(pod["status"]["phase"], "Running");
    });
}

/// [sig-node] Pods should support remote command execution over websockets.
#[test]
fn pods_remote_command_execution_over_websocket() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "commanded");
        let proxy = Proxy::start(&mut cluster.kubectl_command(&["proxy", "--port=0", "--disable-filter"]));
        let path = "/api/v1/namespaces/default/pods/commanded/exec?stderr=1&stdout=1&container=main\
                    &command=echo&command=remote%20execution%20test";
        let messages = websocket::listen(proxy.place().parse().unwrap(), path, "channel.k8s.io");
        let output: Vec<u8> = messages
            .iter()
            .filter(|message| message.first() == Some(&1))
            .flat_map(|message| message[1..].to_vec())
            .collect();
        assert_eq!(String::from_utf8_lossy(&output), "remote execution test\n");
    });
}

/// [sig-node] Pods should support retrieving logs from the container over websockets.
#[test]
fn pods_logs_from_websockets() {
    in_cluster(Options::default(), |cluster| {
        let script = format!("echo container is alive; {IDLE}");
        cluster.run_pod(
            "talker",
            &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", &script)] }),
        );
        cluster.kubectl_until(&["logs", "talker"], |log| !log.is_empty());
        let proxy = Proxy::start(&mut cluster.kubectl_command(&["proxy", "--port=0"]));
        let path = "/api/v1/namespaces/default/pods/talker/log?container=main";
        let messages = websocket::listen(proxy.place().parse().unwrap(), path, "binary.k8s.io");
        assert_eq!(String::from_utf8_lossy(&messages.concat()), "container is alive\n");
    });
}

/// [sig-node] Pods Extended should be assigned a QOS class of Guaranteed with requests and limits that are equal.
#[test]
fn pods_qos() {
    in_cluster(Options::default(), |cluster| {
        let amounts = json!({ "cpu": "100m", "memory": "100Mi" });
        let resources = json!({ "resources": { "requests": amounts, "limits": amounts } });
        cluster.run_pod("guaranteed", &json!({ "containers": [with(shell("main", IDLE), resources)] }));
        assert_eq!(cluster.get(&["pod", "guaranteed"])["status"]["qosClass"], "Guaranteed");
    });
}

/// Waits until the node has seen this generation of the Pod's spec.
fn until_observed(cluster: &Cluster, pod: &str, generation: i64) {
    wait::until(&format!("generation {generation} to be observed"), || {
        let pod = cluster.get(&["pod", pod]);
        let found = (pod["metadata"]["generation"].as_i64(), pod["status"]["observedGeneration"].as_i64());
        if found == (Some(generation), Some(generation)) { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

/// [sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per update.
#[test]
fn pods_generation_updates() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "counted");
        until_observed(cluster, "counted", 1);
        let spec = |patch: &str| cluster.kubectl(&["patch", "pod", "counted", "-p", patch]);
        spec("{\"spec\":{\"activeDeadlineSeconds\":5000}}");
        until_observed(cluster, "counted", 2);
        spec("{\"spec\":{\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}}");
        until_observed(cluster, "counted", 3);
        // What is no part of the spec changes no generation.
        spec("{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
        until_observed(cluster, "counted", 3);
        spec(
            "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"127.0.0.1:5000/side-by-side-backend:v1\"}]}}",
        );
        until_observed(cluster, "counted", 4);
    });
}

/// [sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete.
#[test]
fn pods_generation_graceful_delete() {
    in_cluster(Options::default(), |cluster| {
        let spec = json!({ "terminationGracePeriodSeconds": 2, "containers": [shell("main", "sleep 1000")] });
        let metadata = json!({ "name": "counted", "generation": 100 });
        cluster.create(
            &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }).to_string(),
        );
        cluster.wait_for("condition=Ready", &["pod/counted"]);
        until_observed(cluster, "counted", 1);
        let mut watch = cluster.kubectl_command(&[
            "get",
            "pod",
            "counted",
            "--watch",
            "-o",
            "jsonpath={.metadata.generation} {.metadata.deletionTimestamp}{\"\\n\"}",
        ]);
        let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        cluster.kubectl(&["delete", "pod", "counted", "--wait=false"]);
        let deleted = lines.into_iter().find(|line| line.trim().contains(' ')).unwrap();
        assert!(deleted.starts_with("2 "), "{deleted}");
        watch.kill().unwrap();
        watch.wait().unwrap();
    });
}

/// [sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and
/// observedGeneration eventually converge.
#[test]
fn pods_generation_500_updates() {
    in_cluster(Options::default(), |cluster| {
        idle(cluster, "busy");
        let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config =
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
            let pods: Api<Pod> = Api::default_namespaced(Client::try_from(config).unwrap());
            for seconds in 0..499 {
                let patch = json!({ "spec": { "activeDeadlineSeconds": 10_000 - seconds } });
                pods.patch("busy", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            }
        });
        until_observed(cluster, "busy", 500);
    });
}
