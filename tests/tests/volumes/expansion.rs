//! `$(NAME)` in variables, commands and parts of volumes (common/node/expansion).

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, Viewer, in_cluster};

fn with_env(env: Value) -> Viewer {
    let mut viewer = Viewer::of(&[json!({ "emptyDir": {} })]);
    viewer.container()["env"] = env;
    viewer
}

/// What a container with these words writes.
fn written(mut viewer: Viewer, command: Value, args: Value) -> String {
    let mut shown = String::new();
    viewer.container()["command"] = command;
    viewer.container()["args"] = args;
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&viewer.pod.to_string());
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod", Viewer::NAME]);
        shown = cluster.kubectl(&["logs", Viewer::NAME]);
    });
    shown
}

/// [sig-node] Variable Expansion should allow composing env vars into new env vars.
#[test]
fn environment_variables_expansion() {
    let env = json!([
        { "name": "FOO", "value": "foo-value" },
        { "name": "BAR", "value": "bar-value" },
        { "name": "FOOBAR", "value": "$(FOO);;$(BAR)" },
    ]);
    let shown = written(with_env(env), json!(["sh", "-c", "env"]), json!([]));
    for line in ["FOO=foo-value", "BAR=bar-value", "FOOBAR=foo-value;;bar-value"] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
}

/// [sig-node] Variable Expansion should allow substituting values in a container's command.
#[test]
fn environment_variables_command_expansion() {
    let env = json!([{ "name": "TEST_VAR", "value": "test-value" }]);
    let command = json!(["sh", "-c", "TEST_VAR=wrong echo \"$(TEST_VAR)\""]);
    assert_eq!(written(with_env(env), command, json!([])), "test-value\n");
}

/// [sig-node] Variable Expansion should allow substituting values in a container's args.
#[test]
fn environment_variables_command_argument_expansion() {
    let env = json!([{ "name": "TEST_VAR", "value": "test-value" }]);
    let args = json!(["TEST_VAR=wrong echo \"$(TEST_VAR)\""]);
    assert_eq!(written(with_env(env), json!(["sh", "-c"]), args), "test-value\n");
}

fn mount(path: &str, expression: &str) -> Value {
    json!({ "name": "v0", "mountPath": path, "subPathExpr": expression })
}

/// [sig-node] Variable Expansion should allow substituting values in a volume subpath.
#[test]
fn volumesubpathenvexpansion_subpath_expansion() {
    let mut viewer = with_env(json!([{ "name": "POD_NAME", "value": "foo" }]));
    viewer.container()["volumeMounts"] =
        json!([mount("/logscontainer", "$(POD_NAME)"), { "name": "v0", "mountPath": "/testcontainer" }]);
    let script = "test -d /testcontainer/foo && touch /logscontainer/file && ls /testcontainer/foo";
    assert_eq!(written(viewer, json!(["sh", "-c", script]), json!([])), "file\n");
}

/// The container waits, and says why.
fn is_refused(value: &str) {
    in_cluster(Options::default(), |cluster| {
        let mut viewer = with_env(json!([{ "name": "POD_NAME", "value": value }]));
        viewer.container()["volumeMounts"] = json!([mount("/logscontainer", "$(POD_NAME)")]);
        viewer.container()["command"] = json!(["true"]);
        cluster.apply(&viewer.pod.to_string());
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.message}";
        let message = cluster.kubectl_until(&["get", "pod", Viewer::NAME, "-o", waiting], |message| {
            message.contains("subPath")
        });
        let expected = format!("subPath {value:?} must be relative and stay within its volume");
        assert!(message.contains(&expected), "{message}");
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

/// A Pod whose part of a volume is named by its annotation `mysubpath`.
fn annotated(annotations: Value) -> Viewer {
    let field = json!({ "fieldRef": { "fieldPath": "metadata.annotations['mysubpath']" } });
    let env = json!([{ "name": "POD_NAME", "value": "foo" }, { "name": "ANNOTATION", "valueFrom": field }]);
    let mut viewer = with_env(env);
    viewer.pod["metadata"]["annotations"] = annotations;
    viewer.container()["volumeMounts"] = json!([mount("/subpath_mount", "$(ANNOTATION)/$(POD_NAME)"), { "name": "v0", "mountPath": "/volume_mount" }]);
    viewer.container()["command"] = json!(["sleep", "600"]);
    viewer
}

fn annotate(cluster: &Cluster, path: &str) {
    cluster.kubectl(&["annotate", "--overwrite", "pod", Viewer::NAME, &format!("mysubpath={path}")]);
}

/// [sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a
/// container.
#[test]
fn volumesubpathenvexpansion_subpath_ready_from_failed_state() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&annotated(json!({ "notmysubpath": "mypath" })).pod.to_string());
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        cluster.kubectl_until(&["get", "pod", Viewer::NAME, "-o", waiting], |reason| {
            reason == "CreateContainerConfigError"
        });
        annotate(cluster, "mypath");
        cluster.wait_for("condition=Ready", &["pod", Viewer::NAME]);
    });
}

/// [sig-node] Variable Expansion should succeed in writing subpaths in container.
#[test]
fn volumesubpathenvexpansion_subpath_test_writes() {
    in_cluster(Options::default(), |cluster| {
        annotated(json!({ "mysubpath": "mypath" })).start(cluster);
        let exec = |script: &str| cluster.kubectl(&["exec", Viewer::NAME, "--", "sh", "-c", script]);
        exec("touch /volume_mount/mypath/foo/test.log");
        exec("test -f /subpath_mount/test.log");
        annotate(cluster, "mynewpath");
        exec("test -f /subpath_mount/test.log");
        cluster.kubectl(&["delete", "pod", Viewer::NAME]);
    });
}
