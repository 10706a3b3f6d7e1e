//! Small facts about Kubernetes objects that several controllers need.

pub(crate) mod claim;
pub(crate) mod meta;
pub(crate) mod pod_control;
pub(crate) mod pods;
pub(crate) mod services;
pub(crate) mod template;
