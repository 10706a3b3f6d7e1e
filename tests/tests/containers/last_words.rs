//! What a container leaves when it ends: the termination messages of common/node/runtime.

use serde_json::{Value, json};
use wherry_tests::pods::{shell, with};
use wherry_tests::{Options, in_cluster};

/// Runs a script to its end in this phase; the message it leaves.
fn message(script: &str, fields: Value, phase: &str) -> Value {
    let mut message = Value::Null;
    in_cluster(Options::default(), |cluster| {
        let container = with(shell("main", script), fields);
        cluster.run_pod("ending", &json!({ "restartPolicy": "Never", "containers": [container] }));
        cluster.until_phase("ending", phase);
        message = cluster.first_container("ending")["state"]["terminated"]["message"].clone();
    });
    message
}

fn fallback() -> Value {
    json!({ "terminationMessagePolicy": "FallbackToLogsOnError" })
}

/// [sig-node] Container Runtime blackbox test on terminated container should report termination message if
/// TerminationMessagePath is set as non-root user and at a non-default path.
#[test]
fn container_runtime_terminationmessagepath_non_root_user_and_non_default_path() {
    let fields = json!({
        "terminationMessagePath": "/dev/termination-custom-log", "securityContext": { "runAsUser": 1000 },
    });
    assert_eq!(message("echo -n DONE > /dev/termination-custom-log", fields, "Succeeded"), "DONE");
}

/// [sig-node] Container Runtime blackbox test on terminated container should report termination message from log output if
/// TerminationMessagePolicy FallbackToLogsOnError is set.
#[test]
fn container_runtime_terminationmessage_from_container_s_log_output_of_failing_container() {
    assert_eq!(message("echo -n DONE; false", fallback(), "Failed"), "DONE");
}

/// [sig-node] Container Runtime blackbox test on terminated container should report termination message as empty when pod
/// succeeds and TerminationMessagePolicy FallbackToLogsOnError is set.
#[test]
fn container_runtime_terminationmessage_from_log_output_of_succeeding_container() {
    assert_eq!(message("echo -n DONE; true", fallback(), "Succeeded"), Value::Null);
}

/// [sig-node] Container Runtime blackbox test on terminated container should report termination message from file when pod
/// succeeds and TerminationMessagePolicy FallbackToLogsOnError is set.
#[test]
fn container_runtime_terminationmessage_from_file_of_succeeding_container() {
    let script = "echo -n OK > /dev/termination-log; echo DONE; true";
    assert_eq!(message(script, fallback(), "Succeeded"), "OK");
}
