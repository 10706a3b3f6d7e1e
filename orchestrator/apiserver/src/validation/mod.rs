//! Rules that objects of several kinds share, and how broken rules are reported.

pub(crate) mod cron;
mod errors;
pub(crate) mod internal;
pub(crate) mod job;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod net;
pub(crate) mod pod;
pub(crate) mod resource_names;
pub(crate) mod scaling;
pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod template;
pub(crate) mod values;

pub(crate) use errors::{Cause, Errors, Path, Shown};
