//! What every container can count on: common/node/kubelet.

use serde_json::json;
use wherry_tests::pods::{shell, with};
use wherry_tests::{Options, in_cluster};

/// [sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs.
#[test]
fn kubelet_log_output_default() {
    in_cluster(Options::default(), |cluster| {
        let script = "echo 'Hello World'; echo 'and errors' >&2";
        cluster
            .run_pod("talker", &json!({ "restartPolicy": "Never", "containers": [shell("main", script)] }));
        cluster.until_phase("talker", "Succeeded");
        let logs = cluster.kubectl(&["logs", "talker"]);
        assert!(logs.contains("Hello World\n") && logs.contains("and errors\n"), "{logs}");
    });
}

/// [sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason.
#[test]
fn kubelet_failed_pod_terminated_reason() {
    in_cluster(Options::default(), |cluster| {
        cluster.run_pod("failing", &json!({ "containers": [shell("main", "false")] }));
        let args = ["get", "pod", "failing", "-o", "jsonpath={.status.containerStatuses}"];
        let seen = |text: &str| {
            let statuses: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            let is_error = |state: &str| statuses[0][state]["terminated"]["reason"] == "Error";
            statuses.as_array().is_some_and(|all| all.len() == 1)
                && (is_error("state") || is_error("lastState"))
        };
        cluster.kubectl_until(&args, seen);
    });
}

/// [sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete.
#[test]
fn kubelet_failed_pod_delete() {
    in_cluster(Options::default(), |cluster| {
        cluster.run_pod("failing", &json!({ "containers": [shell("main", "false")] }));
        cluster.until_restarted("failing", 1);
        cluster.kubectl(&["delete", "pod", "failing", "--timeout=60s"]);
        assert!(cluster.kubectl_fails(&["get", "pod", "failing"]).contains("NotFound"));
    });
}

/// [sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem.
#[test]
fn kubelet_pod_with_read_only_root_file_system() {
    in_cluster(Options::default(), |cluster| {
        let script = "echo test > /file; sleep 1; ls /file";
        let container =
            with(shell("main", script), json!({ "securityContext": { "readOnlyRootFilesystem": true } }));
        cluster.run_pod("sealed", &json!({ "restartPolicy": "Never", "containers": [container] }));
        assert_ne!(cluster.exit_code("sealed"), 0);
        let logs = cluster.kubectl(&["logs", "sealed"]);
        assert!(logs.contains("can't create /file: Read-only file system"), "{logs}");
    });
}

/// [sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts.
#[test]
fn kubelet_hostaliases() {
    in_cluster(Options::default(), |cluster| {
        let aliases = json!([{ "ip": "123.45.67.89", "hostnames": ["foo", "bar"] }]);
        let spec = json!({
            "restartPolicy": "Never", "hostAliases": aliases, "containers": [shell("main", "cat /etc/hosts")],
        });
        cluster.run_pod("aliased", &spec);
        cluster.until_phase("aliased", "Succeeded");
        let hosts = cluster.kubectl(&["logs", "aliased"]);
        for text in
            ["# Kubernetes-managed hosts file.", "# Entries added by HostAliases.", "123.45.67.89\tfoo\tbar"]
        {
            assert!(hosts.contains(text), "{text} in\n{hosts}");
        }
    });
}
