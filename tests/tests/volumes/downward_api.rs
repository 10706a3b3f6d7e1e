//! Fields of the Pod in a volume of their own (common/storage/downwardapi_volume).

use super::downward::{self, own};

/// [sig-storage] Downward API volume should provide container's cpu limit.
#[test]
fn downwardapi_volume_cpu_limits() {
    downward::shows_resource(own, "limits.cpu", "2");
}

/// [sig-storage] Downward API volume should provide container's cpu request.
#[test]
fn downwardapi_volume_cpu_request() {
    downward::shows_resource(own, "requests.cpu", "1");
}

/// [sig-storage] Downward API volume should provide container's memory limit.
#[test]
fn downwardapi_volume_memory_limits() {
    downward::shows_resource(own, "limits.memory", "67108864");
}

/// [sig-storage] Downward API volume should provide container's memory request.
#[test]
fn downwardapi_volume_memory_request() {
    downward::shows_resource(own, "requests.memory", "33554432");
}

/// [sig-storage] Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is not set.
#[test]
fn downwardapi_volume_cpu_limit_default_node_allocatable() {
    downward::shows_allocatable(own, "cpu");
}

/// [sig-storage] Downward API volume should provide node allocatable (memory) as default memory limit if the limit is not set.
#[test]
fn downwardapi_volume_memory_limit_default_node_allocatable() {
    downward::shows_allocatable(own, "memory");
}

/// [sig-storage] Downward API volume should provide podname only.
#[test]
fn downwardapi_volume_pod_name() {
    downward::shows_name(own, None, None, "-rw-r--r--");
}

/// [sig-storage] Downward API volume should set DefaultMode on files.
#[test]
fn downwardapi_volume_volume_mode_0400() {
    downward::shows_name(own, Some(0o400), None, "-r--------");
}

/// [sig-storage] Downward API volume should set mode on item file.
#[test]
fn downwardapi_volume_file_mode_0400() {
    downward::shows_name(own, None, Some(0o400), "-r--------");
}

/// [sig-storage] Downward API volume should update annotations on modification.
#[test]
fn downwardapi_volume_update_annotations() {
    downward::shows_updates(own, "annotations", downward::annotate);
}

/// [sig-storage] Downward API volume should update labels on modification.
#[test]
fn downwardapi_volume_update_label() {
    downward::shows_updates(own, "labels", downward::label);
}
