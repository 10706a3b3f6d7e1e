//! Secrets in projected volumes (common/storage/projected_secret).

use super::objects::{self, Asked, PROJECTED_SECRET};

/// [sig-storage] Projected secret should be consumable from pods in volume.
#[test]
fn projected_volume_secrets_volume_mode_default() {
    objects::is_consumable(PROJECTED_SECRET, Asked::default(), "-rw-r--r--");
}

/// [sig-storage] Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set.
#[test]
fn project_volume_secrets_non_root_custom_fsgroup() {
    objects::is_consumable(
        PROJECTED_SECRET,
        Asked { user: Some(1000), group: Some(1001), mode: Some(0o440), ..Asked::default() },
        "-r--r-----",
    );
}

/// [sig-storage] Projected secret should be consumable from pods in volume with defaultMode set.
#[test]
fn projected_volume_secrets_volume_mode_0400() {
    objects::is_consumable(PROJECTED_SECRET, Asked { mode: Some(0o400), ..Asked::default() }, "-r--------");
}

/// [sig-storage] Projected secret should be consumable from pods in volume with mappings.
#[test]
fn projected_volume_secrets_mapped() {
    objects::is_consumable(PROJECTED_SECRET, Asked { mapped: true, ..Asked::default() }, "-rw-r--r--");
}

/// [sig-storage] Projected secret should be consumable from pods in volume with mappings and Item Mode set.
#[test]
fn projected_volume_secrets_mapped_volume_mode_0400() {
    objects::is_consumable(
        PROJECTED_SECRET,
        Asked { mapped: true, item_mode: Some(0o400), ..Asked::default() },
        "-r--------",
    );
}

/// [sig-storage] Projected secret should be consumable in multiple volumes in a pod.
#[test]
fn projected_volume_secrets_mapped_multiple_paths() {
    objects::is_consumable_twice(PROJECTED_SECRET);
}

/// [sig-storage] Projected secret optional updates should be reflected in volume.
#[test]
fn projected_volume_secrets_create_update_delete() {
    objects::shows_optional_updates(PROJECTED_SECRET);
}
