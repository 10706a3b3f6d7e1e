//! Nodes that stop answering, Pods that outlive their node, and the addresses that nodes give to Pods.

pub(crate) mod eviction;
pub(crate) mod health;
pub(crate) mod lifecycle;
pub(crate) mod pod_gc;
pub(crate) mod ranges;
pub(crate) mod taint_eviction;
mod zones;

use k8s_openapi::api::core::v1::Pod;

/// The node that a Pod is on; empty if it is on none.
fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}
