//! What the conformance descriptions of kubectl/kubectl and kubectl/logs demand, with an unmodified kubectl.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use wherry_tests::pods::{BUSYBOX, IDLE, shell};
use wherry_tests::{ApiServer, Cluster, Options, Proxy, http, in_cluster, wait};

/// A ReplicationController of the app `primary`, with a port to expose.
fn primary(cluster: &Cluster, replicas: u32) {
    let mut container = shell("primary", IDLE);
    container["ports"] = json!([{ "name": "primary-server", "containerPort": 6379 }]);
    let labels = json!({ "app": "primary" });
    let template = json!({
        "metadata": { "labels": labels }, "spec": { "terminationGracePeriodSeconds": 1, "containers": [container] },
    });
    let spec = json!({ "replicas": replicas, "selector": labels, "template": template });
    let controller = json!({ "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "primary", "labels": labels }, "spec": spec });
    cluster.create(&controller.to_string());
    until_running(cluster, replicas as usize);
}

/// Waits until exactly so many Pods of the app run; their names.
fn until_running(cluster: &Cluster, count: usize) -> Vec<String> {
    wait::until(&format!("{count} running Pods"), || {
        let pods = cluster.get(&["pods", "-l", "app=primary"]);
        let all = pods["items"].as_array().unwrap();
        let running = all.iter().filter(|pod| pod["status"]["containerStatuses"][0]["ready"] == true);
        let names: Vec<String> =
            running.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        if names.len() == count && all.len() == count {
            Ok(names)
        } else {
            Err(format!("{names:?} of {}", all.len()))
        }
    })
}

fn run_idle(cluster: &Cluster, name: &str) {
    let image = format!("--image={BUSYBOX}");
    cluster.kubectl(&[
        "run",
        name,
        &image,
        "--restart=Never",
        "--labels=run=idle",
        "--command",
        "--",
        "sh",
        "-c",
        IDLE,
    ]);
}

/// [sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions.
#[test]
fn kubectl_check_version_v1() {
    let server = ApiServer::start();
    assert!(server.kubectl(&["api-versions"]).lines().any(|line| line == "v1"));
}

/// [sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in
/// cluster-info.
#[test]
fn kubectl_cluster_info() {
    let server = ApiServer::start();
    let info = server.kubectl(&["cluster-info"]);
    assert!(info.contains("Kubernetes control plane") && info.contains(&server.url()), "{info}");
}

/// [sig-cli] Kubectl client Kubectl version should check is all data is printed.
#[test]
fn kubectl_version() {
    let server = ApiServer::start();
    let told = server.kubectl(&["version"]);
    assert!(told.contains("Client Version: v1.") && told.contains("Server Version: v1.36."), "{told}");
    let told: Value = serde_json::from_str(&server.kubectl(&["version", "--output=json"])).unwrap();
    let version = &told["serverVersion"];
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    let commit = version["gitCommit"].as_str().unwrap();
    assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
    assert!(version["buildDate"].as_str().unwrap().ends_with('Z'), "{version}");
}

fn proxy(server: &ApiServer, flag: &str) -> Proxy {
    Proxy::start(&mut server.kubectl_command(&["proxy", flag]))
}

fn assert_names_versions(answer: &str) {
    let api: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(api["versions"], json!(["v1"]));
}

/// [sig-cli] Kubectl client Proxy server should support proxy with --port 0.
#[test]
fn kubectl_proxy_port_zero() {
    let server = ApiServer::start();
    let proxy = proxy(&server, "--port=0");
    assert_names_versions(&http::get(proxy.place().parse().unwrap(), "/api/").unwrap().body);
}

/// [sig-cli] Kubectl client Proxy server should support --unix-socket=/path.
#[test]
fn kubectl_proxy_socket() {
    let server = ApiServer::start();
    let path = server.dir().join("proxy.sock");
    let proxy = proxy(&server, &format!("--unix-socket={}", path.display()));
    assert_eq!(proxy.place(), path.to_str().unwrap());
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_names_versions(answer.split_once("\r\n\r\n").unwrap().1);
}

/// [sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods.
#[test]
fn kubectl_describe_pod_or_rc() {
    in_cluster(Options::default(), |cluster| {
        primary(cluster, 1);
        cluster.kubectl(&["expose", "rc", "primary", "--port=6379", "--target-port=primary-server"]);
        let pod = until_running(cluster, 1).remove(0);
        let holds = |args: &[&str], texts: &[&str]| {
            let text = cluster.kubectl(&[&["describe"], args].concat());
            let squeezed: Vec<String> =
                text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            for wanted in texts {
                assert!(squeezed.iter().any(|line| line.starts_with(wanted)), "{wanted:?} in\n{text}");
            }
        };
        let name = format!("Name: {pod}");
        let controlled = "Controlled By: ReplicationController/primary";
        let texts = [
            &name,
            "Namespace: default",
            "Node: node-1",
            "Labels: app=primary",
            "Status: Running",
            "IP:",
            controlled,
        ];
        holds(&["pod", &pod], &texts);
        holds(&["pod", &pod], &["Image: 127.0.0.1:5000/hello-oci:v1", "State: Running"]);
        let replicas = "Replicas: 1 current / 1 desired";
        let texts = [
            "Name: primary",
            "Selector: app=primary",
            replicas,
            "Pods Status: 1 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        ];
        holds(&["rc", "primary"], &[&texts[..], &["Pod Template:", "Port: 6379/TCP", "Events:"]].concat());
        let texts = [
            "Name: primary",
            "Type: ClusterIP",
            "IP:",
            "Port: <unset> 6379/TCP",
            "TargetPort: primary-server/TCP",
            "Endpoints:",
            "Session Affinity: None",
        ];
        holds(&["service", "primary"], &texts);
        let texts = [
            "Name: node-1",
            "Labels:",
            "Conditions:",
            "Addresses:",
            "Capacity:",
            "System Info:",
            "Non-terminated Pods:",
        ];
        holds(&["node", "node-1"], &texts);
        holds(&["namespace", "default"], &["Name: default", "Labels:", "Annotations:", "Status: Active"]);
    });
}

/// [sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments.
#[test]
fn kubectl_diff_deployment() {
    in_cluster(Options::default(), |cluster| {
        let deployment = |image: &str| {
            let labels = json!({ "app": "diffed" });
            let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "main", "image": image }] } });
            let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "diffed" }, "spec": spec }).to_string()
        };
        cluster.create(&deployment("127.0.0.1:5000/hello-wasm:v1"));
        let output = cluster.fed(&["diff", "-f", "-"], &deployment(BUSYBOX));
        let diff = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{diff}");
        assert!(diff.contains("-      - image: 127.0.0.1:5000/hello-wasm:v1"), "{diff}");
        assert!(diff.contains(&format!("+      - image: {BUSYBOX}")), "{diff}");
    });
}

/// [sig-cli] Kubectl client Kubectl expose should create services for rc.
#[test]
fn kubectl_create_service_replication_controller() {
    in_cluster(Options::default(), |cluster| {
        primary(cluster, 1);
        cluster.kubectl(&["expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379"]);
        cluster.kubectl(&["expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379"]);
        for (name, port) in [("rm2", 1234), ("rm3", 2345)] {
            let service = cluster.get(&["service", name]);
            let found = &service["spec"]["ports"][0];
            assert_eq!((&found["port"], &found["targetPort"]), (&json!(port), &json!(6379)), "{service}");
            let address = "jsonpath={.subsets[0].addresses[0].ip}:{.subsets[0].ports[0].port}";
            cluster.kubectl_until(&["get", "endpoints", name, "-o", address], |text| {
                text.ends_with(":6379") && text.len() > 5
            });
        }
    });
}

/// [sig-cli] Kubectl client Kubectl label should update the label on a resource.
#[test]
fn kubectl_label_update() {
    in_cluster(Options::default(), |cluster| {
        run_idle(cluster, "pause");
        cluster.wait_for("condition=Ready", &["pod/pause"]);
        cluster.kubectl(&["label", "pods", "pause", "testing-label=testing-label-value"]);
        let column = ["get", "pod", "pause", "-L", "testing-label"];
        assert!(cluster.kubectl(&column).contains("testing-label-value"));
        assert!(cluster.kubectl(&["get", "pod", "-l", "testing-label"]).contains("pause"));
        cluster.kubectl(&["label", "pods", "pause", "testing-label-"]);
        assert!(!cluster.kubectl(&column).contains("testing-label-value"));
        assert_eq!(cluster.kubectl(&["get", "pod", "-l", "testing-label", "-o", "name"]), "");
    });
}

/// [sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc.
#[test]
fn kubectl_patch_to_annotate() {
    in_cluster(Options::default(), |cluster| {
        primary(cluster, 2);
        let pods = until_running(cluster, 2);
        for pod in &pods {
            cluster.kubectl(&["patch", "pod", pod, "-p", "{\"metadata\":{\"annotations\":{\"x\":\"y\"}}}"]);
        }
        for pod in &pods {
            assert_eq!(cluster.get(&["pod", pod])["metadata"]["annotations"]["x"], "y");
        }
    });
}

/// [sig-cli] Kubectl client Kubectl replace should update a single-container pod's image.
#[test]
fn kubectl_replace() {
    in_cluster(Options::default(), |cluster| {
        run_idle(cluster, "replaced");
        cluster.wait_for("condition=Ready", &["pod/replaced"]);
        let mut pod = cluster.get(&["pod", "replaced"]);
        let image = "127.0.0.1:5000/side-by-side-backend:v1";
        pod["spec"]["containers"][0]["image"] = json!(image);
        let output = cluster.fed(&["replace", "-f", "-"], &pod.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wait::until("the new image to run", || {
            let main = cluster.first_container("replaced");
            let runs =
                main["image"] == image && main["state"]["running"].is_object() && main["restartCount"] == 1;
            if runs { Ok(()) } else { Err(main.to_string()) }
        });
    });
}

/// [sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never.
#[test]
fn kubectl_run_pod() {
    in_cluster(Options::default(), |cluster| {
        cluster.kubectl(&["run", "single", "--restart=Never", &format!("--image={BUSYBOX}")]);
        let spec = cluster.get(&["pod", "single"])["spec"].clone();
        assert_eq!(spec["containers"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&spec["containers"][0]["image"], &spec["restartPolicy"]),
            (&json!(BUSYBOX), &json!("Never"))
        );
    });
}

/// [sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods.
#[test]
fn kubectl_server_side_dry_run_pod() {
    in_cluster(Options::default(), |cluster| {
        run_idle(cluster, "dry");
        cluster.wait_for("condition=Ready", &["pod/dry"]);
        let container = json!({ "name": "dry", "image": "127.0.0.1:5000/side-by-side-backend:v1" });
        let patch = json!({ "spec": { "containers": [container] } }).to_string();
        let shown = cluster.kubectl(&["patch", "pod", "dry", "-p", &patch, "--dry-run=server", "-o", "json"]);
        assert!(shown.contains("side-by-side-backend"), "{shown}");
        assert_eq!(cluster.get(&["pod", "dry"])["spec"]["containers"][0]["image"], BUSYBOX);
    });
}

/// [sig-cli] Kubectl client Update Demo should create and stop a replication controller.
#[test]
fn kubectl_replication_controller() {
    in_cluster(Options::default(), |cluster| {
        primary(cluster, 2);
        cluster.kubectl(&["delete", "rc", "primary", "--grace-period=0", "--force"]);
        wait::until("the Pods to go", || {
            let left = cluster.kubectl(&["get", "pods", "-l", "app=primary", "-o", "name"]);
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    });
}

/// [sig-cli] Kubectl client Update Demo should scale a replication controller.
#[test]
fn kubectl_scale_replication_controller() {
    in_cluster(Options::default(), |cluster| {
        primary(cluster, 2);
        for replicas in [1, 2] {
            cluster.kubectl(&["scale", "rc", "primary", &format!("--replicas={replicas}"), "--timeout=60s"]);
            until_running(cluster, replicas);
        }
    });
}

/// [sig-cli] Kubectl logs logs should be able to retrieve and filter logs.
#[test]
fn kubectl_logs() {
    in_cluster(Options::default(), |cluster| {
        let script = format!("for i in $(seq 1 20); do echo line $i; done; {IDLE}");
        cluster.run_pod(
            "talker",
            &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", &script)] }),
        );
        let all = cluster.kubectl_until(&["logs", "talker", "main"], |log| log.contains("line 20\n"));
        assert_eq!(all.lines().count(), 20);
        assert_eq!(cluster.kubectl(&["logs", "talker", "main", "--tail=1"]), "line 20\n");
        assert_eq!(cluster.kubectl(&["logs", "talker", "main", "--limit-bytes=1"]), "l");
        let stamped = cluster.kubectl(&["logs", "talker", "main", "--tail=1", "--timestamps"]);
        let (time, line) = stamped.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && line == "line 20\n", "{stamped}");
        cluster.kubectl_until(&["logs", "talker", "main", "--since=1s"], str::is_empty);
        assert_eq!(cluster.kubectl(&["logs", "talker", "main", "--since=24h"]), all);
    });
}
