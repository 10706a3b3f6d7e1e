//! Secrets as environment, and their life.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{assert_has, environment};

fn secret(data: &Value) -> String {
    let metadata = json!({ "name": "s", "labels": { "kind": "test" } });
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data }).to_string()
}

/// [sig-node] Secrets should be consumable from pods in env vars.
#[test]
fn secrets_pod_environment_field() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&secret(&json!({ "data-1": "value-1" })));
        let reference = json!({ "secretKeyRef": { "name": "s", "key": "data-1" } });
        let env = json!({ "env": [{ "name": "SECRET_DATA", "valueFrom": reference }] });
        assert_has(&environment(cluster, &env), &["SECRET_DATA=value-1"]);
    });
}

/// [sig-node] Secrets should be consumable via the environment.
#[test]
fn secrets_pod_environment_from_source() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&secret(&json!({ "data_1": "value-1", "data_2": "value-2" })));
        let reference = json!({ "name": "s" });
        let env =
            json!({ "envFrom": [{ "secretRef": reference }, { "prefix": "p-", "secretRef": reference }] });
        let found = environment(cluster, &env);
        assert_has(&found, &["data_1=value-1", "data_2=value-2", "p-data_1=value-1", "p-data_2=value-2"]);
    });
}

/// [sig-node] Secrets should be consumable as environment variable names variable names with various prefixes.
#[test]
fn secrets_pod_environment_from_source_with_various_prefixes() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&secret(&json!({ "data_1": "value-1" })));
        let reference = json!({ "name": "s" });
        let from =
            ["1-", "$_-", "#A.", " ~"].map(|prefix| json!({ "prefix": prefix, "secretRef": reference }));
        let found = environment(cluster, &json!({ "envFrom": from }));
        assert_has(
            &found,
            &["1-data_1=value-1", "$_-data_1=value-1", "#A.data_1=value-1", " ~data_1=value-1"],
        );
    });
}

/// [sig-node] Secrets should fail to create secret due to empty secret key.
#[test]
fn secrets_with_empty_key() {
    in_cluster(Options::default(), |cluster| {
        let refused = cluster.try_create(&secret(&json!({ "": "value-1" })));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains("data[]: Invalid value"), "{error}");
    });
}

/// [sig-node] Secrets should patch a secret.
#[test]
fn secret_patching() {
    in_cluster(Options::default(), |cluster| {
        cluster.create(&secret(&json!({ "key": "value" })));
        let listed = || cluster.kubectl(&["get", "secrets", "-A", "-l", "kind=test", "-o", "name"]);
        assert_eq!(listed().trim(), "secret/s");
        // "patched", in base64.
        let patch = r#"{"metadata": {"labels": {"patched": "true"}}, "data": {"key": "cGF0Y2hlZA=="}}"#;
        cluster.kubectl(&["patch", "secret", "s", "-p", patch]);
        let patched = cluster.get(&["secret", "s"]);
        assert_eq!(
            (&patched["data"]["key"], &patched["metadata"]["labels"]["patched"]),
            (&json!("cGF0Y2hlZA=="), &json!("true"))
        );
        cluster.kubectl(&["delete", "secrets", "-l", "patched=true"]);
        assert_eq!(listed(), "");
    });
}
