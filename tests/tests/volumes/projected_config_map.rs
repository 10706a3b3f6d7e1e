//! ConfigMaps in projected volumes (common/storage/projected_configmap).

use super::objects::{self, Asked, PROJECTED_CONFIG_MAP};

/// [sig-storage] Projected configMap should be consumable from pods in volume.
#[test]
fn projected_volume_configmap_volume_mode_default() {
    objects::is_consumable(PROJECTED_CONFIG_MAP, Asked::default(), "-rw-r--r--");
}

/// [sig-storage] Projected configMap should be consumable from pods in volume as non-root.
#[test]
fn projected_volume_configmap_non_root_user() {
    objects::is_consumable(
        PROJECTED_CONFIG_MAP,
        Asked { user: Some(1000), ..Asked::default() },
        "-rw-r--r--",
    );
}

/// [sig-storage] Projected configMap should be consumable from pods in volume with defaultMode set.
#[test]
fn projected_volume_configmap_volume_mode_0400() {
    objects::is_consumable(
        PROJECTED_CONFIG_MAP,
        Asked { mode: Some(0o400), ..Asked::default() },
        "-r--------",
    );
}

/// [sig-storage] Projected configMap should be consumable from pods in volume with mappings.
#[test]
fn projected_volume_configmap_mapped() {
    objects::is_consumable(PROJECTED_CONFIG_MAP, Asked { mapped: true, ..Asked::default() }, "-rw-r--r--");
}

/// [sig-storage] Projected configMap should be consumable from pods in volume with mappings and Item mode set.
#[test]
fn projected_volume_configmap_mapped_volume_mode_0400() {
    objects::is_consumable(
        PROJECTED_CONFIG_MAP,
        Asked { mapped: true, item_mode: Some(0o400), ..Asked::default() },
        "-r--------",
    );
}

/// [sig-storage] Projected configMap should be consumable from pods in volume with mappings as non-root.
#[test]
fn projected_volume_configmap_mapped_non_root_user() {
    objects::is_consumable(
        PROJECTED_CONFIG_MAP,
        Asked { mapped: true, user: Some(1000), ..Asked::default() },
        "-rw-r--r--",
    );
}

/// [sig-storage] Projected configMap should be consumable in multiple volumes in the same pod.
#[test]
fn projected_volume_configmap_multiple_volume_paths() {
    objects::is_consumable_twice(PROJECTED_CONFIG_MAP);
}

/// [sig-storage] Projected configMap updates should be reflected in volume.
#[test]
fn projected_volume_configmap_update() {
    objects::shows_updates(PROJECTED_CONFIG_MAP);
}

/// [sig-storage] Projected configMap optional updates should be reflected in volume.
#[test]
fn projected_volume_configmap_create_update_and_delete() {
    objects::shows_optional_updates(PROJECTED_CONFIG_MAP);
}
