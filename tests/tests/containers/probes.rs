//! Whether a container has started, is ready, is alive: common/node/container_probe.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster};

/// Makes the Pod `probed`, whose container runs a script and has this probe.
fn probed(cluster: &Cluster, script: &str, kind: &str, probe: Value) {
    let often = json!({ "periodSeconds": 1, "failureThreshold": 1 });
    let container = with(shell("main", script), json!({ kind: with(often, probe) }));
    cluster.run_pod("probed", &json!({ "terminationGracePeriodSeconds": 1, "containers": [container] }));
}

/// The container lives through several looks at it; each leaves a line in /tmp/looks.
fn is_not_restarted(script: &str, probe: Value) {
    in_cluster(Options::default(), |cluster| {
        probed(cluster, script, "livenessProbe", probe);
        cluster.wait_for("condition=Ready", &["pod/probed"]);
        cluster.exec_until("probed", "wc -l < /tmp/looks", |lines| {
            lines.trim().parse().is_ok_and(|n: u32| n >= 3)
        });
        assert_eq!(cluster.first_container("probed")["restartCount"], 0);
    });
}

/// The container is found dead so often, for this reason.
fn is_restarted(script: &str, probe: Value, times: u64, because: &str) {
    in_cluster(Options::hasty(), |cluster| {
        probed(cluster, script, "livenessProbe", probe);
        let mut before = 0;
        while before < times {
            cluster.until_restarted("probed", before + 1);
            let now = cluster.first_container("probed")["restartCount"].as_u64().unwrap();
            assert!(now > before, "the count went from {before} to {now}");
            before = now;
        }
        let unhealthy = cluster.kubectl(&["get", "events", "--field-selector=reason=Unhealthy"]);
        assert!(unhealthy.contains(because), "{unhealthy}");
        let killing = cluster.kubectl(&["get", "events", "--field-selector=reason=Killing"]);
        assert!(killing.contains("failed liveness probe, will be restarted"), "{killing}");
    });
}

/// Serves /healthz as a CGI program, which leaves a line for each look; fails after so many if there is a number.
fn http_server(looks: &str) -> String {
    format!(
        "mkdir -p /tmp/www/cgi-bin; rm -f /tmp/looks; cat > /tmp/www/cgi-bin/healthz <<'END'\n#!/bin/sh\necho >> /tmp/looks\n\
         if [ \"$(wc -l < /tmp/looks)\" -gt {looks} ]; then echo 'Status: 500 Broken'; fi\nprintf '\\r\\n\\r\\nok'\nEND\n\
         chmod +x /tmp/www/cgi-bin/healthz; exec httpd -f -p 8080 -h /tmp/www"
    )
}

fn http_probe() -> Value {
    json!({ "httpGet": { "path": "/cgi-bin/healthz", "port": 8080 }, "initialDelaySeconds": 1 })
}

/// Answers every connection with a script, which leaves a line for each.
fn tcp_server(port: u16, answer: &str) -> String {
    format!(
        "printf '#!/bin/sh\\necho >> /tmp/looks\\n{answer}\\n' > /tmp/answer; chmod +x /tmp/answer; \
         exec nc -ll -p {port} -e /tmp/answer"
    )
}

/// A server that reads a call by HTTP/2 and answers that it serves: settings, headers, the message, grpc-status 0.
fn grpc_server(port: u16) -> String {
    let frames = "\\\\0\\\\0\\\\0\\\\4\\\\0\\\\0\\\\0\\\\0\\\\0\
                  \\\\0\\\\0\\\\1\\\\1\\\\4\\\\0\\\\0\\\\0\\\\1\\\\210\
                  \\\\0\\\\0\\\\7\\\\0\\\\0\\\\0\\\\0\\\\0\\\\1\\\\0\\\\0\\\\0\\\\0\\\\2\\\\10\\\\1\
                  \\\\0\\\\0\\\\17\\\\1\\\\5\\\\0\\\\0\\\\0\\\\1\\\\0\\\\13grpc-status\\\\0010";
    tcp_server(port, &format!("head -c 100 > /dev/null; printf \"{frames}\"; cat > /dev/null"))
}

/// [sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe.
#[test]
fn pod_liveness_probe_using_local_file_restart() {
    let script = format!("echo ok > /tmp/health; sleep 2; rm -f /tmp/health; {IDLE}");
    let probe = json!({ "exec": { "command": ["cat", "/tmp/health"] }, "initialDelaySeconds": 1 });
    is_restarted(&script, probe, 1, "Liveness probe failed: cat: can't open '/tmp/health'");
}

/// [sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe.
#[test]
fn pod_liveness_probe_using_local_file_no_restart() {
    let command = json!(["sh", "-c", "echo >> /tmp/looks; cat /tmp/health"]);
    is_not_restarted(
        &format!("echo ok > /tmp/health; {IDLE}"),
        json!({ "exec": { "command": command }, "initialDelaySeconds": 1 }),
    );
}

/// [sig-node] Probing container should be restarted with a /healthz http liveness probe.
#[test]
fn pod_liveness_probe_using_http_endpoint_restart() {
    is_restarted(&http_server("1"), http_probe(), 1, "HTTP probe failed with statuscode: 500");
}

/// [sig-node] Probing container should have monotonically increasing restart count.
#[test]
fn pod_liveness_probe_using_http_endpoint_multiple_restarts_slow() {
    is_restarted(&http_server("1"), http_probe(), 5, "HTTP probe failed with statuscode: 500");
}

/// [sig-node] Probing container should *not* be restarted with a /healthz http liveness probe.
#[test]
fn pod_liveness_probe_using_http_endpoint_failure() {
    is_not_restarted(&http_server("1000"), http_probe());
}

/// [sig-node] Probing container should *not* be restarted with a tcp:8080 liveness probe.
#[test]
fn pod_liveness_probe_using_tcp_socket_no_restart() {
    let probe = json!({ "tcpSocket": { "port": 8080 }, "initialDelaySeconds": 1 });
    is_not_restarted(&tcp_server(8080, "echo broken"), probe);
}

/// [sig-node] Probing container should *not* be restarted with a GRPC liveness probe.
#[test]
fn pod_liveness_probe_using_grpc_call_success() {
    let probe = json!({ "grpc": { "port": 5000, "service": null }, "initialDelaySeconds": 1 });
    is_not_restarted(&grpc_server(5000), probe);
}

/// [sig-node] Probing container should be restarted with a GRPC liveness probe.
#[test]
fn pod_liveness_probe_using_grpc_call_failure() {
    let probe = json!({ "grpc": { "port": 2333, "service": null }, "initialDelaySeconds": 1 });
    is_restarted(&grpc_server(5000), probe, 1, ":2333: connect: connection refused");
}

/// [sig-node] Probing container with readiness probe should not be ready before initial delay and never restart.
#[test]
fn pod_readiness_probe_with_initial_delay() {
    in_cluster(Options::default(), |cluster| {
        probed(
            cluster,
            IDLE,
            "readinessProbe",
            json!({ "exec": { "command": ["true"] }, "initialDelaySeconds": 3 }),
        );
        cluster.wait_for("condition=Ready", &["pod/probed"]);
        let pod = cluster.get(&["pod", "probed"]);
        let mut conditions = pod["status"]["conditions"].as_array().unwrap().iter();
        let ready = conditions.find(|condition| condition["type"] == "Ready").unwrap();
        let main = cluster.first_container("probed");
        let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let waited =
            time(&ready["lastTransitionTime"]).duration_since(time(&main["state"]["running"]["startedAt"]));
        assert!(waited.as_secs() >= 3, "ready after {waited:?}");
        assert_eq!(main["restartCount"], 0);
    });
}

/// [sig-node] Probing container with readiness probe that fails should never be ready and never restart.
#[test]
fn pod_readiness_probe_failure() {
    in_cluster(Options::default(), |cluster| {
        let command = json!(["sh", "-c", "echo >> /tmp/looks; false"]);
        probed(cluster, IDLE, "readinessProbe", json!({ "exec": { "command": command } }));
        cluster.until_phase("probed", "Running");
        cluster.exec_until("probed", "wc -l < /tmp/looks", |lines| {
            lines.trim().parse().is_ok_and(|n: u32| n >= 5)
        });
        let main = cluster.first_container("probed");
        assert_eq!((&main["ready"], &main["restartCount"]), (&json!(false), &json!(0)), "{main}");
        let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        assert_eq!(cluster.kubectl(&["get", "pod", "probed", "-o", ready]), "False");
    });
}
