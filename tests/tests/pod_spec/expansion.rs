//! `$(NAME)` in environments, commands and paths of volumes.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{assert_has, environment, output_of, pod, until_waiting};

/// [sig-node] Variable Expansion should allow composing env vars into new env vars.
#[test]
fn environment_variables_expansion() {
    in_cluster(Options::default(), |cluster| {
        let env = [("FOO", "foo-value"), ("BAR", "bar-value"), ("FOOBAR", "$(FOO);;$(BAR)")];
        let env = env.map(|(name, value)| json!({ "name": name, "value": value }));
        let found = environment(cluster, &json!({ "env": env }));
        assert_has(&found, &["FOO=foo-value", "BAR=bar-value", "FOOBAR=foo-value;;bar-value"]);
    });
}

const SCRIPT: &str = "TEST_VAR=wrong echo \"$(TEST_VAR)\"";

fn test_var() -> Value {
    json!([{ "name": "TEST_VAR", "value": "test-value" }])
}

/// [sig-node] Variable Expansion should allow substituting values in a container's command.
#[test]
fn environment_variables_command_expansion() {
    in_cluster(Options::default(), |cluster| {
        let container = json!({ "env": test_var(), "command": ["sh", "-c", SCRIPT] });
        assert_eq!(output_of(cluster, &pod("command", &container)), "test-value\n");
    });
}

/// [sig-node] Variable Expansion should allow substituting values in a container's args.
#[test]
fn environment_variables_command_argument_expansion() {
    in_cluster(Options::default(), |cluster| {
        let container = json!({ "env": test_var(), "command": ["sh", "-c"], "args": [SCRIPT] });
        assert_eq!(output_of(cluster, &pod("args", &container)), "test-value\n");
    });
}

/// A Pod whose volume is mounted whole at `/whole`, and at `/part` the path in it that the expression says.
fn with_part(name: &str, expression: &str, variable: &Value, command: &Value) -> Value {
    let mut pod = pod(
        name,
        &json!({
            "env": [{ "name": "POD_NAME", "value": "foo" }, variable], "command": command,
            "securityContext": { "runAsUser": 0 },
            "volumeMounts": [
                { "name": "work", "mountPath": "/part", "subPathExpr": expression },
                { "name": "work", "mountPath": "/whole" },
            ],
        }),
    );
    pod["spec"]["volumes"] = json!([{ "name": "work", "emptyDir": {} }]);
    pod
}

fn variable(value: &str) -> Value {
    json!({ "name": "PART", "value": value })
}

/// [sig-node] Variable Expansion should allow substituting values in a volume subpath.
#[test]
fn volumesubpathenvexpansion_subpath_expansion() {
    in_cluster(Options::default(), |cluster| {
        let command = json!(["sh", "-c", "touch /part/file && ls /whole/here"]);
        let pod = with_part("expanded", "$(PART)", &variable("here"), &command);
        assert_eq!(output_of(cluster, &pod), "file\n");
    });
}

/// The container never runs.
fn is_refused(value: &str) {
    in_cluster(Options::default(), |cluster| {
        let pod = with_part("refused", "$(PART)", &variable(value), &json!(["true"]));
        cluster.apply(&pod.to_string());
        until_waiting(cluster, "refused", "CreateContainerConfigError");
    });
}

/// [sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks.
#[test]
fn volumesubpathenvexpansion_subpath_with_backticks() {
    is_refused("..");
}

/// [sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path.
#[test]
fn volumesubpathenvexpansion_subpath_with_absolute_path() {
    is_refused("/tmp");
}

/// A Pod that goes on, whose path in the volume begins with its annotation.
fn annotated() -> Value {
    let annotation = json!({ "fieldRef": { "fieldPath": "metadata.annotations['path']" } });
    let variable = json!({ "name": "PART", "valueFrom": annotation });
    with_part("annotated", "$(PART)/$(POD_NAME)", &variable, &json!(["sleep", "1000"]))
}

/// [sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a
/// container.
#[test]
fn volumesubpathenvexpansion_subpath_ready_from_failed_state() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&annotated().to_string());
        until_waiting(cluster, "annotated", "CreateContainerConfigError");
        cluster.kubectl(&["annotate", "pod", "annotated", "path=here"]);
        cluster.wait_for("condition=Ready", &["pod/annotated"]);
        cluster.kubectl(&["delete", "pod", "annotated", "--timeout=60s"]);
    });
}

/// [sig-node] Variable Expansion should succeed in writing subpaths in container.
#[test]
fn volumesubpathenvexpansion_subpath_test_writes() {
    in_cluster(Options::default(), |cluster| {
        let mut pod = annotated();
        pod["metadata"]["annotations"] = json!({ "path": "here" });
        cluster.apply(&pod.to_string());
        cluster.wait_for("condition=Ready", &["pod/annotated"]);
        cluster.kubectl(&["exec", "annotated", "--", "touch", "/whole/here/foo/test.log"]);
        cluster.kubectl(&["exec", "annotated", "--", "test", "-f", "/part/test.log"]);
        cluster.kubectl(&["annotate", "--overwrite", "pod", "annotated", "path=elsewhere"]);
        cluster.wait_for("condition=Ready", &["pod/annotated"]);
        cluster.kubectl(&["delete", "pod", "annotated", "--timeout=60s"]);
    });
}
