//! Custom kinds: what CustomResourceDefinitions add to the API.
//!
//! A definition that is established is served like any built-in kind: the same verbs, the same store, the same rules of
//! metadata. What is particular to it is read from the definition and shared by all requests until the definition changes.
//!
//! Reading order: [`definition`] (a definition, read), [`registry`] (those that are established, kept current with the
//! store), [`route`] (paths that lead to them), [`kind`] (their rules), [`values`]
//! (whether objects are what their schema says), [`columns`] and [`path`] (what tables show),
//! [`convert`], [`webhook`] and [`restore`] (objects on their way between the store and a version), [`siblings`] (versions
//! that owners of fields are told apart by), [`conditions`] (what a definition says of itself),
//! [`publish`] and [`switched`] (what clients are told of it, and of built-in kinds that are switched on), [`controller`] and [`cleanup`] (who writes that, and ends what is deleted), [`intern`] (rows that last).

mod cleanup;
mod columns;
mod conditions;
pub(crate) mod controller;
mod convert;
mod definition;
mod intern;
mod kind;
pub(crate) mod path;
mod publish;
mod registry;
mod restore;
mod route;
pub(crate) mod rules;
mod siblings;
mod switched;
pub(crate) mod values;
mod webhook;

pub(crate) use cleanup::mark;
pub(crate) use convert::{BATCH, batch_len};
pub(crate) use definition::{Definition, Served, Watched};
pub(crate) use path::Path;
pub(crate) use publish::Documents;
pub(crate) use registry::{Definitions, Registry};
pub(crate) use route::find as route;
