//! Rules that objects of several kinds share, and how broken rules are reported.

mod errors;
pub(crate) mod meta;
pub(crate) mod net;
pub(crate) mod pod;
pub(crate) mod service;
pub(crate) mod template;

pub(crate) use errors::{Cause, Errors, Path, Shown};
