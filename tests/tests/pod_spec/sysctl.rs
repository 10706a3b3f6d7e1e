//! Kernel settings of Pods.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{output_of, pod};

fn with_sysctls(name: &str, sysctls: &[(&str, &str)], shown: &str) -> Value {
    let mut pod = pod(name, &json!({ "command": ["sysctl", shown] }));
    let sysctls: Vec<Value> =
        sysctls.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    pod["spec"]["securityContext"] = json!({ "sysctls": sysctls });
    pod
}

/// [sig-node] Sysctls should support sysctls.
#[test]
fn sysctl_test_sysctls() {
    in_cluster(Options::default(), |cluster| {
        let pod = with_sysctls("set", &[("kernel.shm_rmid_forced", "1")], "kernel.shm_rmid_forced");
        assert_eq!(output_of(cluster, &pod), "kernel.shm_rmid_forced = 1\n");
    });
}

/// [sig-node] Sysctls should reject invalid sysctls.
#[test]
fn sysctls_reject_invalid_sysctls() {
    in_cluster(Options::default(), |cluster| {
        let sysctls = [("foo-", "bar"), ("kernel.shmmax", "100000000"), ("bar..", "42")];
        let refused = cluster.try_create(&with_sysctls("invalid", &sysctls, "kernel.shmmax").to_string());
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{error}");
        assert!(
            error.contains("Invalid value: \"foo-\"") && error.contains("Invalid value: \"bar..\""),
            "{error}"
        );
        assert!(!error.contains("kernel.shmmax"), "{error}");
    });
}

#[test]
fn an_unsafe_setting_needs_the_node_to_allow_it() {
    let flags = vec!["--allowed-unsafe-sysctls".to_owned(), "kernel.shm*".to_owned()];
    in_cluster(Options { flags, ..Options::default() }, |cluster| {
        let allowed = with_sysctls("allowed", &[("kernel.shmmni", "64")], "kernel.shmmni");
        assert_eq!(output_of(cluster, &allowed), "kernel.shmmni = 64\n");
        cluster.apply(&with_sysctls("forbidden", &[("kernel.msgmax", "64")], "kernel.msgmax").to_string());
        cluster.wait_for("jsonpath={.status.phase}=Failed", &["pod/forbidden"]);
        let status = &cluster.get(&["pod", "forbidden"])["status"];
        assert_eq!(status["reason"], "SysctlForbidden");
        assert_eq!(
            status["message"],
            "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted"
        );
    });
}
