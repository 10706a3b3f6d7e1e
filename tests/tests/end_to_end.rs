//! Whole clusters: Pods of both kinds, their Services, updates under load, restarts of the agent.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wherry_tests::{Cluster, Options, http, one_shot, wait, workspace};

fn in_cluster(test: impl FnOnce(&mut Cluster) + Send) {
    wherry_tests::in_cluster(Options::default(), test);
}

fn loopback() -> Options {
    Options { flags: vec!["--network".into(), "loopback".into()], ..Options::default() }
}

fn example(path: &str) -> String {
    std::fs::read_to_string(workspace().join("examples").join(path)).unwrap()
}

fn deploy(cluster: &Cluster, path: &str, deployments: &[&str]) {
    cluster.apply(&example(path));
    for name in deployments {
        cluster.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=90s"]);
    }
}

fn service_address(cluster: &Cluster, name: &str) -> SocketAddr {
    let ip = cluster.kubectl(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]);
    SocketAddr::new(ip.parse().unwrap(), 80)
}

/// The first answer of a Service whose rules may still be on their way.
fn first_answer(address: SocketAddr) -> http::Answer {
    wait::until(&format!("an answer from {address}"), || http::get(address, "/").map_err(|e| e.to_string()))
}

#[test]
fn wasm_and_oci_deployments_answer_through_their_services() {
    in_cluster(|cluster| {
        deploy(cluster, "hello-wasm/hello-wasm.yaml", &["hello-wasm"]);
        deploy(cluster, "hello-oci/hello-oci.yaml", &["hello-oci"]);
        for name in ["hello-wasm", "hello-oci"] {
            let address = service_address(cluster, name);
            let answer = first_answer(address);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.body.contains(&format!("{name}-")), "the Pod names itself: {answer:?}");
        }
        // From a Pod with a network namespace of its own to both Services.
        let wasm = service_address(cluster, "hello-wasm").ip();
        let oci = service_address(cluster, "hello-oci").ip();
        let script = format!("wget -qO- http://{wasm}/ && wget -qO- http://{oci}/");
        cluster.apply(&one_shot("client", "hello-oci:v1", &format!("    command: [sh, -c, \"{script}\"]\n")));
        assert_eq!(cluster.exit_code("client"), 0);
        let logs = cluster.kubectl(&["logs", "client"]);
        assert!(logs.contains("hello-wasm-") && logs.contains("hello-oci-"), "{logs}");
    });
}

#[test]
fn a_wasm_front_end_calls_an_oci_back_end_through_its_service() {
    in_cluster(|cluster| {
        deploy(cluster, "side-by-side/side-by-side.yaml", &["backend", "frontend"]);
        let answer = first_answer(service_address(cluster, "frontend"));
        assert!(answer.body.contains("frontend-") && answer.body.contains("backend-"), "{answer:?}");
    });
}

#[test]
fn a_service_spreads_over_all_its_ready_endpoints_and_node_ports_answer() {
    in_cluster(|cluster| {
        deploy(cluster, "hello-wasm/hello-wasm.yaml", &["hello-wasm"]);
        let address = service_address(cluster, "hello-wasm");
        first_answer(address);
        let mut bodies = std::collections::BTreeSet::new();
        wait::until("answers of all three Pods", || {
            bodies.insert(http::get(address, "/").map_err(|e| e.to_string())?.body);
            if bodies.len() == 3 { Ok(()) } else { Err(format!("{bodies:?}")) }
        });
        cluster.kubectl(&["patch", "service", "hello-wasm", "-p", r#"{"spec":{"type":"NodePort"}}"#]);
        let port = cluster.get(&["service", "hello-wasm"])["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
        let node = cluster.kubectl(&[
            "get",
            "node",
            "node-1",
            "-o",
            r#"jsonpath={.status.addresses[?(@.type=="InternalIP")].address}"#,
        ]);
        let answer = first_answer(format!("{node}:{port}").parse().unwrap());
        assert_eq!(answer.status, 200);
    });
}

/// `Instant::now` through tokio would need a runtime; a load generator needs only elapsed time.
#[expect(clippy::disallowed_methods, reason = "a load generator paces itself by the real clock")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a load generator paces itself by the real clock")]
fn pace_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(clock()));
}

/// Sends `rate` requests a second over new connections until told to stop; counts what came of them.
struct Load {
    stop: AtomicBool,
    sent: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Load {
    const SENDERS: u32 = 16;

    fn new() -> Self {
        Self { stop: AtomicBool::new(false), sent: AtomicU64::new(0), failures: std::sync::Mutex::default() }
    }

    fn run(&self, address: SocketAddr, rate: u32) {
        std::thread::scope(|scope| {
            for sender in 0..Self::SENDERS {
                scope
                    .spawn(move || self.send(address, Duration::from_secs(1) * Self::SENDERS / rate, sender));
            }
        });
    }

    fn send(&self, address: SocketAddr, every: Duration, sender: u32) {
        let mut due = clock() + every * sender / Self::SENDERS;
        while !self.stop.load(Ordering::Relaxed) {
            pace_until(due);
            due += every;
            let failure = match http::get(address, "/") {
                Ok(answer) if answer.status == 200 => None,
                Ok(answer) => Some(format!("{} {}", answer.status, answer.body)),
                Err(error) => Some(error.to_string()),
            };
            self.sent.fetch_add(1, Ordering::Relaxed);
            if let Some(failure) = failure {
                self.failures.lock().unwrap().push(failure);
            }
        }
    }
}

#[test]
fn a_rolling_update_at_500_requests_a_second_fails_no_request() {
    in_cluster(|cluster| {
        deploy(cluster, "hello-wasm/hello-wasm.yaml", &["hello-wasm"]);
        let address = service_address(cluster, "hello-wasm");
        first_answer(address);
        let load = Load::new();
        std::thread::scope(|scope| {
            let network = &load;
            scope.spawn(move || network.run(address, 500));
            wait::until("the load to run", || {
                if load.sent.load(Ordering::Relaxed) > 500 { Ok(()) } else { Err(String::new()) }
            });
            let before = load.sent.load(Ordering::Relaxed);
            cluster.kubectl(&["set", "env", "deployment/hello-wasm", "ROUND=2"]);
            cluster.kubectl(&["rollout", "status", "deployment/hello-wasm", "--timeout=90s"]);
            wait::until("traffic after the update", || {
                if load.sent.load(Ordering::Relaxed) > before + 1000 { Ok(()) } else { Err(String::new()) }
            });
            load.stop.store(true, Ordering::Relaxed);
        });
        let failures = load.failures.lock().unwrap();
        assert!(
            failures.is_empty(),
            "{} of {} failed: {:?}",
            failures.len(),
            load.sent.load(Ordering::Relaxed),
            &failures[..failures.len().min(5)]
        );
    });
}

#[test]
fn wasm_commands_run_to_their_exit_code_with_args_env_and_volumes() {
    in_cluster(|cluster| {
        cluster.kubectl(&["create", "configmap", "settings", "--from-literal=greeting=hello from a file"]);
        cluster.kubectl(&["create", "secret", "generic", "token", "--from-literal=value=s3cret"]);
        let spec = "    args: [print, \"$(WORD)\", cat, /settings/greeting, env, TOKEN, exit, \"7\"]\n    env:\n    \
            - {name: WORD, value: words}\n    - name: TOKEN\n      valueFrom: {secretKeyRef: {name: token, key: value}}\n    \
            volumeMounts: [{name: settings, mountPath: /settings}]\n  volumes:\n  \
            - {name: settings, configMap: {name: settings}}\n";
        for image in ["cli-p1:v1", "cli-p2:v1"] {
            let name = image.trim_end_matches(":v1");
            cluster.apply(&one_shot(name, image, spec));
            assert_eq!(cluster.exit_code(name), 7);
            let logs = cluster.kubectl(&["logs", name]);
            for text in ["words", "hello from a file", "s3cret"] {
                assert!(logs.contains(text), "{text} in {logs}");
            }
            cluster.wait_for("jsonpath={.status.phase}=Failed", &[&format!("pod/{name}")]);
        }
    });
}

#[test]
fn every_shape_of_wasm_image_runs_in_wasmtime() {
    in_cluster(|cluster| {
        for image in
            ["shape-cncf", "shape-content-layer", "shape-component-layer", "shape-platform", "shape-compat"]
        {
            cluster.apply(&one_shot(image, &format!("{image}:v1"), "    args: [print, x, exit, \"0\"]\n"));
        }
        for image in
            ["shape-cncf", "shape-content-layer", "shape-component-layer", "shape-platform", "shape-compat"]
        {
            assert_eq!(cluster.exit_code(image), 0, "{image}");
            let id = cluster.kubectl(&[
                "get",
                "pod",
                image,
                "-o",
                "jsonpath={.status.containerStatuses[0].containerID}",
            ]);
            assert!(id.starts_with("wasmtime://"), "{image}: {id}");
        }
    });
}

#[test]
fn one_pod_mixes_both_runtimes_on_one_address_and_one_volume() {
    in_cluster(|cluster| {
        cluster.apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: mixed}\nspec:\n  restartPolicy: Never\n  containers:\n  \
             - name: wasm\n    image: 127.0.0.1:5000/hello-wasm:v1\n    ports: [{containerPort: 8080}]\n  \
             - name: oci\n    image: 127.0.0.1:5000/hello-oci:v1\n    \
             command: [sh, -c, \"until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done\"]\n",
        );
        let code = "jsonpath={.status.containerStatuses[?(@.name==\"oci\")].state.terminated.exitCode}";
        let code = cluster.kubectl_until(&["get", "pod", "mixed", "-o", code], |text| !text.is_empty());
        assert_eq!(code, "0");
        assert!(cluster.kubectl(&["logs", "mixed", "-c", "oci"]).contains("Hello"));
    });
}

#[test]
fn images_that_cannot_run_say_why() {
    in_cluster(|cluster| {
        cluster.apply(&one_shot("missing", "no-such-image:v1", ""));
        cluster.apply(&one_shot("corrupt", "corrupt-wasm:v1", ""));
        cluster.apply(&one_shot("escape", "escaping-layer:v1", ""));
        let waiting = |pod: &str| {
            let path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}";
            cluster.kubectl_until(&["get", "pod", pod, "-o", path], |text| {
                text.starts_with("ErrImagePull")
                    || text.starts_with("ImagePullBackOff")
                    || text.contains("Error")
            })
        };
        assert!(waiting("missing").contains("no-such-image"), "{}", waiting("missing"));
        assert!(waiting("corrupt").contains("invalid image"), "{}", waiting("corrupt"));
        assert!(waiting("escape").contains(".."), "{}", waiting("escape"));
        assert!(!std::path::Path::new("/escaped-by-layer").exists());
    });
}

#[test]
fn loopback_mode_serves_wasm_and_refuses_oci_clearly() {
    wherry_tests::in_cluster(loopback(), |cluster| {
        deploy(cluster, "hello-wasm/hello-wasm.yaml", &["hello-wasm"]);
        let address = service_address(cluster, "hello-wasm");
        assert!(address.ip().is_loopback());
        assert_eq!(first_answer(address).status, 200);
        // Through the API server, too: to an endpoint of the Service, and to one Pod.
        let first = ["get", "pods", "-l", "app=hello-wasm", "-o", "jsonpath={.items[0].metadata.name}"];
        let pod = cluster.kubectl(&first);
        let raw = |path: &str| {
            cluster.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/default/{path}/proxy/x")])
        };
        assert!(raw("services/hello-wasm:80").contains("path: /x\npod: hello-wasm-"));
        assert!(raw(&format!("pods/{pod}")).contains(&format!("path: /x\npod: {pod}\n")));
        cluster.apply(&one_shot("classic", "hello-oci:v1", ""));
        cluster.kubectl_until(&["describe", "pod", "classic"], |text| {
            text.contains("Warning") && text.contains("loopback")
        });
        assert_eq!(first_answer(address).status, 200);
    });
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    in_cluster(|cluster| {
        cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=1"]);
        assert!(cluster.terminate(), "{}", cluster.log());
        cluster.launch();
        assert_eq!(cluster.get(&["configmap", "kept"])["data"]["a"], "1");
    });
}

/// It said "ready" by what the Node had said when the run before was killed.
#[test]
fn a_cluster_that_was_killed_is_ready_when_its_node_says_so_again() {
    in_cluster(|cluster| {
        let registered = |cluster: &Cluster| cluster.log().matches("node registered").count();
        assert_eq!(registered(cluster), 1);
        cluster.kill();
        cluster.launch();
        assert_eq!(registered(cluster), 2, "{}", cluster.log());
    });
}

#[test]
fn a_killed_agent_finds_its_oci_containers_running_and_serves_wasm_again() {
    in_cluster(|cluster| {
        deploy(cluster, "hello-oci/hello-oci.yaml", &["hello-oci"]);
        deploy(cluster, "hello-wasm/hello-wasm.yaml", &["hello-wasm"]);
        let (oci, wasm) = (service_address(cluster, "hello-oci"), service_address(cluster, "hello-wasm"));
        first_answer(oci);
        first_answer(wasm);
        let started = [
            "get",
            "pods",
            "-l",
            "app=hello-oci",
            "-o",
            "jsonpath={range .items[*]}{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].state.running.startedAt} {.status.containerStatuses[0].restartCount};{end}",
        ];
        let before = cluster.kubectl(&started);
        cluster.kill();
        let answered = http::get(oci, "/");
        assert_eq!(answered.expect("OCI Pods answer while the agent is dead").status, 200);
        cluster.launch();
        wait::until("wasm to answer", || http::get(wasm, "/").map_err(|e| e.to_string()));
        cluster.kubectl(&["rollout", "status", "deployment/hello-oci", "--timeout=60s"]);
        assert_eq!(cluster.kubectl(&started), before, "the same containers run on");
    });
}

/// How often the example has started, as its page tells.
fn starts(address: SocketAddr, wanted: &str) {
    wait::until(&format!("{wanted} starts"), || {
        let answer = http::get(address, "/starts").map_err(|error| error.to_string())?;
        if answer.body.trim() == wanted { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn a_stateful_set_keeps_its_data_until_its_claim_is_deleted() {
    in_cluster(|cluster| {
        cluster.apply(&example("keeps-count/keeps-count.yaml"));
        let rollout = ["rollout", "status", "statefulset/keeps-count", "--timeout=90s"];
        cluster.kubectl(&rollout);
        let address = service_address(cluster, "keeps-count");
        starts(address, "1");
        cluster.kubectl(&["delete", "pod", "keeps-count-0"]);
        cluster.kubectl(&rollout);
        starts(address, "2");

        let claim = "data-keeps-count-0";
        let volume = cluster.kubectl(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"]);
        let directory = cluster.data_dir().join("node/volumes").join(&volume);
        assert_eq!(std::fs::read_to_string(directory.join("starts")).unwrap().trim(), "2");
        cluster.kubectl(&["delete", "statefulset", "keeps-count"]);
        assert!(directory.exists(), "the claim stays");
        cluster.kubectl(&["delete", "pvc", claim]);
        cluster.kubectl(&["wait", "--for=delete", &format!("pv/{volume}"), "--timeout=60s"]);
        assert!(!directory.exists(), "the node removed it before the volume went");
    });
}
