//! Nodes that stop answering, and Pods that outlive their node.

pub(crate) mod eviction;
pub(crate) mod health;
pub(crate) mod lifecycle;
pub(crate) mod pod_gc;
