//! The edge: paths, query strings, headers and bodies become types here, and strings stop.

pub(crate) mod body;
pub(crate) mod negotiate;
pub(crate) mod path;
pub(crate) mod protobuf;
pub(crate) mod query;
pub(crate) mod rest;
