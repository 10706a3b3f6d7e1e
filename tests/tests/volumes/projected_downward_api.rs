//! Fields of the Pod in projected volumes (common/storage/projected_downwardapi).

use super::downward::{self, projected};

/// [sig-storage] Projected downwardAPI should provide container's cpu limit.
#[test]
fn projected_volume_downwardapi_cpu_limits() {
    downward::shows_resource(projected, "limits.cpu", "2");
}

/// [sig-storage] Projected downwardAPI should provide container's cpu request.
#[test]
fn projected_volume_downwardapi_cpu_request() {
    downward::shows_resource(projected, "requests.cpu", "1");
}

/// [sig-storage] Projected downwardAPI should provide container's memory limit.
#[test]
fn projected_volume_downwardapi_memory_limits() {
    downward::shows_resource(projected, "limits.memory", "67108864");
}

/// [sig-storage] Projected downwardAPI should provide container's memory request.
#[test]
fn projected_volume_downwardapi_memory_request() {
    downward::shows_resource(projected, "requests.memory", "33554432");
}

/// [sig-storage] Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is not set.
#[test]
fn projected_volume_downwardapi_cpu_limit_node_allocatable() {
    downward::shows_allocatable(projected, "cpu");
}

/// [sig-storage] Projected downwardAPI should provide node allocatable (memory) as default memory limit if the limit is not set.
#[test]
fn projected_volume_downwardapi_memory_limit_node_allocatable() {
    downward::shows_allocatable(projected, "memory");
}

/// [sig-storage] Projected downwardAPI should provide podname only.
#[test]
fn projected_volume_downwardapi_pod_name() {
    downward::shows_name(projected, None, None, "-rw-r--r--");
}

/// [sig-storage] Projected downwardAPI should set DefaultMode on files.
#[test]
fn projected_volume_downwardapi_volume_mode_0400() {
    downward::shows_name(projected, Some(0o400), None, "-r--------");
}

/// [sig-storage] Projected downwardAPI should set mode on item file.
#[test]
fn projected_volume_downwardapi_volume_mode_0400_of_a_file() {
    downward::shows_name(projected, None, Some(0o400), "-r--------");
}

/// [sig-storage] Projected downwardAPI should update annotations on modification.
#[test]
fn projected_volume_downwardapi_update_annotation() {
    downward::shows_updates(projected, "annotations", downward::annotate);
}

/// [sig-storage] Projected downwardAPI should update labels on modification.
#[test]
fn projected_volume_downwardapi_update_labels() {
    downward::shows_updates(projected, "labels", downward::label);
}
