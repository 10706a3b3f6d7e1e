//! Rules that objects of several kinds share, and how broken rules are reported.

pub(crate) mod access_review;
pub(crate) mod admissionregistration;
pub(crate) mod apiregistration;
pub(crate) mod canonical;
pub(crate) mod certificates;
pub(crate) mod checks;
pub(crate) mod conditions;
pub(crate) mod drivers;
mod errors;
pub(crate) mod flowcontrol;
pub(crate) mod ingress;
pub(crate) mod internal;
pub(crate) mod job;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod net;
pub(crate) mod network_policy;
mod p521;
pub(crate) mod pod;
pub(crate) mod pod_certificates;
pub(crate) mod rbac;
pub(crate) mod resource;
pub(crate) mod resource_names;
pub(crate) mod scaling;
pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod template;
pub(crate) mod trust_bundles;
pub(crate) mod url;
pub(crate) mod values;
pub(crate) mod volume_attachment;
pub(crate) mod webhook;
pub(crate) mod written;

pub(crate) use errors::{Cause, Errors, Path, Shown};
