//! Small facts about Kubernetes objects that several controllers need.

pub(crate) mod claim;
pub(crate) mod history;
pub(crate) mod intstr;
pub(crate) mod jobs;
pub(crate) mod meta;
pub(crate) mod placement;
pub(crate) mod pod_control;
pub(crate) mod pods;
pub(crate) mod services;
pub(crate) mod slices;
pub(crate) mod template;
pub(crate) mod trim;
