//! Containers as the node keeps them: hooks and probes, with real programs.

use wherry_tests::{Cluster, Options, in_cluster, wait};

/// A Pod that tells every request made to it, and its address.
fn listener(cluster: &Cluster) -> String {
    cluster.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: listener}\nspec:\n  containers:\n  - name: main\n    \
         image: 127.0.0.1:5000/hello-oci:v1\n    command: [httpd, -f, -vv, -p, \"8080\", -h, /tmp]\n    \
         readinessProbe: {tcpSocket: {port: 8080}}\n",
    );
    cluster.wait_for("condition=Ready", &["pod/listener"]);
    cluster.kubectl(&["get", "pod", "listener", "-o", "jsonpath={.status.podIP}"])
}

fn until_heard(cluster: &Cluster, path: &str) {
    cluster.kubectl_until(&["logs", "listener"], |log| log.contains(path));
}

/// A Pod that sleeps, with this `lifecycle`.
fn sleeper(cluster: &Cluster, lifecycle: &str) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: hooked}}\nspec:\n  terminationGracePeriodSeconds: 15\n  \
         containers:\n  - name: main\n    image: 127.0.0.1:5000/hello-oci:v1\n    \
         command: [sh, -c, \"trap 'exit 0' TERM; while true; do sleep 0.1; done\"]\n    lifecycle: {lifecycle}\n"
    ));
}

fn exec(ip: &str, path: &str) -> String {
    format!("{{exec: {{command: [sh, -c, \"wget -q -O- http://{ip}:8080{path}; true\"]}}}}")
}

fn http_get(ip: &str, path: &str) -> String {
    format!("{{httpGet: {{host: {ip}, port: 8080, path: {path}}}}}")
}

/// The hook of a container that starts reaches the listener.
fn post_start_is_invoked(hook: fn(&str, &str) -> String) {
    in_cluster(Options::default(), |cluster| {
        let ip = listener(cluster);
        sleeper(cluster, &format!("{{postStart: {}}}", hook(&ip, "/poststart")));
        cluster.wait_for("condition=Ready", &["pod/hooked"]);
        until_heard(cluster, "/poststart");
    });
}

/// The hook of a container that is stopped reaches the listener, and not before.
fn pre_stop_is_invoked(hook: fn(&str, &str) -> String) {
    in_cluster(Options::default(), |cluster| {
        let ip = listener(cluster);
        sleeper(cluster, &format!("{{preStop: {}}}", hook(&ip, "/prestop")));
        cluster.wait_for("condition=Ready", &["pod/hooked"]);
        assert!(!cluster.kubectl(&["logs", "listener"]).contains("/prestop"));
        cluster.kubectl(&["delete", "pod", "hooked"]);
        until_heard(cluster, "/prestop");
    });
}

/// [sig-node] Container Lifecycle Hook should execute poststart exec hook properly.
#[test]
fn pod_lifecycle_post_start_exec_hook() {
    post_start_is_invoked(exec);
}

/// [sig-node] Container Lifecycle Hook should execute poststart http hook properly.
#[test]
fn pod_lifecycle_post_start_http_hook() {
    post_start_is_invoked(http_get);
}

/// [sig-node] Container Lifecycle Hook should execute prestop exec hook properly.
#[test]
fn pod_lifecycle_prestop_exec_hook() {
    pre_stop_is_invoked(exec);
}

/// [sig-node] Container Lifecycle Hook should execute prestop http hook properly.
#[test]
fn pod_lifecycle_prestop_http_hook() {
    pre_stop_is_invoked(http_get);
}

#[test]
fn a_failing_post_start_hook_is_told_and_its_container_restarted() {
    in_cluster(Options::default(), |cluster| {
        sleeper(cluster, "{postStart: {exec: {command: [sh, -c, exit 1]}}}");
        let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
        cluster.kubectl_until(&["get", "pod", "hooked", "-o", restarts], |count| {
            count != "0" && !count.is_empty()
        });
        let events = cluster.kubectl(&["get", "events", "--field-selector=reason=FailedPostStartHook"]);
        assert!(events.contains("PostStartHook failed"), "{events}");
    });
}

/// A Pod that is alive as long as it has its file.
fn with_liveness(cluster: &Cluster, script: &str) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: alive}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: main\n    image: 127.0.0.1:5000/hello-oci:v1\n    command: [sh, -c, \"{script}\"]\n    \
         livenessProbe: {{exec: {{command: [cat, /tmp/health]}}, periodSeconds: 1, failureThreshold: 1, \
         initialDelaySeconds: 1}}\n"
    ));
}

fn restarts(cluster: &Cluster) -> u64 {
    cluster.get(&["pod", "alive"])["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)
}

/// [sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe.
#[test]
fn pod_liveness_probe_using_local_file_restart() {
    in_cluster(Options::default(), |cluster| {
        with_liveness(cluster, "echo ok > /tmp/health; sleep 3; rm -f /tmp/health; sleep 600");
        wait::until("a restart", || match restarts(cluster) {
            0 => Err("no restart".to_owned()),
            _ => Ok(()),
        });
        let events = cluster.kubectl(&["get", "events", "--field-selector=reason=Unhealthy"]);
        assert!(events.contains("Liveness probe failed: cat: can't open '/tmp/health'"), "{events}");
    });
}
