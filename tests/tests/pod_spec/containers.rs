//! Which program a container runs: its image's, or what the Pod names instead.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{output_of, pod};

/// The entrypoint of the image tells the arguments it was given, which are `image arguments` unless others are asked for.
fn runs(container: &Value, expected: &str) {
    in_cluster(Options::default(), |cluster| {
        let mut container = container.clone();
        container["image"] = json!("127.0.0.1:5000/arguments:v1");
        assert_eq!(output_of(cluster, &pod("arguments", &container)), expected);
    });
}

/// [sig-node] Containers should use the image defaults if command and args are blank.
#[test]
fn containers_without_command_and_arguments() {
    runs(&json!({}), "entrypoint: image arguments\n");
}

/// [sig-node] Containers should be able to override the image's default arguments (container cmd).
#[test]
fn containers_with_arguments() {
    runs(&json!({ "args": ["override", "arguments"] }), "entrypoint: override arguments\n");
}

/// [sig-node] Containers should be able to override the image's default command (container entrypoint).
#[test]
fn containers_with_command() {
    runs(&json!({ "command": ["/bin/echo", "another:"] }), "another:\n");
}

/// [sig-node] Containers should be able to override the image's default command and arguments.
#[test]
fn containers_with_command_and_arguments() {
    let both = json!({ "command": ["/bin/echo", "another:"], "args": ["override", "arguments"] });
    runs(&both, "another: override arguments\n");
}
