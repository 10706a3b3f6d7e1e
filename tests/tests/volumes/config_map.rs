//! ConfigMaps as volumes (common/storage/configmap_volume).

use serde_json::json;
use wherry_tests::{Options, Viewer, in_cluster};

use super::objects::{self, Asked, CONFIG_MAP};

/// [sig-storage] ConfigMap should be consumable from pods in volume.
#[test]
fn configmap_volume_without_mapping() {
    objects::is_consumable(CONFIG_MAP, Asked::default(), "-rw-r--r--");
}

/// [sig-storage] ConfigMap should be consumable from pods in volume as non-root.
#[test]
fn configmap_volume_without_mapping_non_root_user() {
    objects::is_consumable(CONFIG_MAP, Asked { user: Some(1000), ..Asked::default() }, "-rw-r--r--");
}

/// [sig-storage] ConfigMap should be consumable from pods in volume with defaultMode set.
#[test]
fn configmap_volume_without_mapping_volume_mode_set() {
    objects::is_consumable(CONFIG_MAP, Asked { mode: Some(0o400), ..Asked::default() }, "-r--------");
}

/// [sig-storage] ConfigMap should be consumable from pods in volume with mappings.
#[test]
fn configmap_volume_with_mapping() {
    objects::is_consumable(CONFIG_MAP, Asked { mapped: true, ..Asked::default() }, "-rw-r--r--");
}

/// [sig-storage] ConfigMap should be consumable from pods in volume with mappings and Item mode set.
#[test]
fn configmap_volume_with_mapping_volume_mode_set() {
    objects::is_consumable(
        CONFIG_MAP,
        Asked { mapped: true, item_mode: Some(0o400), ..Asked::default() },
        "-r--------",
    );
}

/// [sig-storage] ConfigMap should be consumable from pods in volume with mappings as non-root.
#[test]
fn configmap_volume_with_mapping_non_root_user() {
    objects::is_consumable(
        CONFIG_MAP,
        Asked { mapped: true, user: Some(1000), ..Asked::default() },
        "-rw-r--r--",
    );
}

/// [sig-storage] ConfigMap should be consumable in multiple volumes in the same pod.
#[test]
fn configmap_volume_multiple_volume_maps() {
    objects::is_consumable_twice(CONFIG_MAP);
}

/// [sig-storage] ConfigMap updates should be reflected in volume.
#[test]
fn configmap_volume_update() {
    objects::shows_updates(CONFIG_MAP);
}

/// [sig-storage] ConfigMap optional updates should be reflected in volume.
#[test]
fn configmap_volume_create_update_and_delete() {
    objects::shows_optional_updates(CONFIG_MAP);
}

/// [sig-storage] ConfigMap binary data should be reflected in volume.
#[test]
fn configmap_volume_text_data_binary_data() {
    in_cluster(Options::default(), |cluster| {
        let data = json!({ "data-1": "value-1" });
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "object" },
            "data": data, "binaryData": { "dump.bin": "3sr+ug0lIA==" },
        });
        cluster.apply(&object.to_string());
        let viewer = Viewer::of(&[CONFIG_MAP.volume("object", &json!({}))]);
        let shown = viewer.shows(cluster, "cat /v0/data-1; echo; hexdump -ve '1/1 \"%02x\"' /v0/dump.bin");
        assert_eq!(shown, "value-1\ndecafeba0d2520");
    });
}
