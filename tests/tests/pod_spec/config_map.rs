//! `ConfigMaps` as environment, and their life.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{assert_has, environment};

fn config_map(data: &Value) -> String {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": data }).to_string()
}

/// [sig-node] ConfigMap should be consumable via environment variable.
#[test]
fn configmap_from_environment_field() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&config_map(&json!({ "data-1": "value-1" })));
        let reference = json!({ "configMapKeyRef": { "name": "c", "key": "data-1" } });
        let env = json!({ "env": [{ "name": "CONFIG_DATA_1", "valueFrom": reference }] });
        assert_has(&environment(cluster, &env), &["CONFIG_DATA_1=value-1"]);
    });
}

/// [sig-node] ConfigMap should be consumable via the environment.
#[test]
fn configmap_from_environment_variables() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&config_map(&json!({ "data_1": "value-1", "data_2": "value-2" })));
        let reference = json!({ "name": "c" });
        let env = json!({ "envFrom": [{ "configMapRef": reference }, { "prefix": "p-", "configMapRef": reference }] });
        let found = environment(cluster, &env);
        assert_has(&found, &["data_1=value-1", "data_2=value-2", "p-data_1=value-1", "p-data_2=value-2"]);
    });
}

/// [sig-node] ConfigMap should be consumable as environment variable names with various prefixes.
#[test]
fn configmap_from_environment_field_with_various_prefixes() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&config_map(&json!({ "data_1": "value-1" })));
        let reference = json!({ "name": "c" });
        let from =
            ["1-", "$_-", "#A.", " ~"].map(|prefix| json!({ "prefix": prefix, "configMapRef": reference }));
        let found = environment(cluster, &json!({ "envFrom": from }));
        assert_has(
            &found,
            &["1-data_1=value-1", "$_-data_1=value-1", "#A.data_1=value-1", " ~data_1=value-1"],
        );
    });
}

/// [sig-node] ConfigMap should fail to create ConfigMap with empty key.
#[test]
fn configmap_with_empty_key() {
    in_cluster(Options::default(), |cluster| {
        let refused = cluster.try_create(&config_map(&json!({ "": "value-1" })));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains("data[]: Invalid value"), "{error}");
    });
}

/// [sig-node] ConfigMap should update ConfigMap successfully.
#[test]
fn configmap_update() {
    in_cluster(Options::default(), |cluster| {
        cluster.create(&config_map(&json!({ "data": "value" })));
        let mut object = cluster.get(&["configmap", "c"]);
        object["data"] = json!({ "data": "value", "more": "another" });
        cluster.apply(&object.to_string());
        assert_eq!(cluster.get(&["configmap", "c"])["data"], object["data"]);
    });
}
