//! What happens once a container has started, and before it is stopped: common/node/lifecycle_hook and node/pre_stop.

use wherry_tests::{Cluster, Options, in_cluster};

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

/// [sig-node] PreStop should call prestop when killing a pod.
#[test]
fn pods_prestop_hook() {
    pre_stop_is_invoked(|ip, path| exec(ip, path).replace("-O-", "-O- --post-data=stopping"));
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
