//! Secrets as volumes (common/storage/secrets_volume).

use serde_json::json;
use wherry_tests::{Options, Viewer, in_cluster};

use super::objects::{self, Asked, SECRET};

/// [sig-storage] Secrets should be consumable from pods in volume.
#[test]
fn secrets_volume_default() {
    objects::is_consumable(SECRET, Asked::default(), "-rw-r--r--");
}

/// [sig-storage] Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set.
#[test]
fn secrets_volume_volume_mode_0440_fsgroup_1001_and_uid_1000() {
    objects::is_consumable(
        SECRET,
        Asked { user: Some(1000), group: Some(1001), mode: Some(0o440), ..Asked::default() },
        "-r--r-----",
    );
}

/// [sig-storage] Secrets should be consumable from pods in volume with defaultMode set.
#[test]
fn secrets_volume_volume_mode_0400() {
    objects::is_consumable(SECRET, Asked { mode: Some(0o400), ..Asked::default() }, "-r--------");
}

/// [sig-storage] Secrets should be consumable from pods in volume with mappings.
#[test]
fn secrets_volume_mapping() {
    objects::is_consumable(SECRET, Asked { mapped: true, ..Asked::default() }, "-rw-r--r--");
}

/// [sig-storage] Secrets should be consumable from pods in volume with mappings and Item Mode set.
#[test]
fn secrets_volume_mapping_volume_mode_0400() {
    objects::is_consumable(
        SECRET,
        Asked { mapped: true, item_mode: Some(0o400), ..Asked::default() },
        "-r--------",
    );
}

/// [sig-storage] Secrets should be consumable in multiple volumes in a pod.
#[test]
fn secrets_volume_mapping_multiple_volume_paths() {
    objects::is_consumable_twice(SECRET);
}

/// [sig-storage] Secrets optional updates should be reflected in volume.
#[test]
fn secrets_volume_create_update_and_delete() {
    objects::shows_optional_updates(SECRET);
}

/// [sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in
/// different namespace.
#[test]
fn secrets_volume_volume_mode_default_secret_with_same_name_in_different_namespace() {
    in_cluster(Options::default(), |cluster| {
        cluster.kubectl(&["create", "namespace", "other"]);
        cluster.kubectl(&[
            "create",
            "secret",
            "generic",
            "object",
            "-n",
            "other",
            "--from-literal=data-1=other",
        ]);
        SECRET.put(cluster, "object", &json!({ "data-1": "value-1" }));
        let viewer = Viewer::of(&[SECRET.volume("object", &json!({}))]);
        let shown = viewer.shows(cluster, "stat -Lc %A /v0/data-1; cat /v0/data-1");
        assert_eq!(shown, "-rw-r--r--\nvalue-1");
    });
}
