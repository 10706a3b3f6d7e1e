//! What the names of a cluster mean, after the Kubernetes DNS specification 1.1. Pure: no sockets, no clock, no Kubernetes types.
//!
//! There are no record sets that would have to be kept up to date: a [`Zone`] knows Services and the slices of their
//! endpoints, and makes the records of a name when it is asked for them. A change costs what it changes.
//!
//! Reading order:
//! - [`Service`], [`Slice`]: what a zone is told (`objects`).
//! - `subject`: what a name below the cluster's domain is the name of.
//! - [`Zone`], [`Answer`]: the records of a name.
//! - [`Question`], [`Request`], [`encode`]: the messages (`message`).

mod message;
mod objects;
mod subject;
mod zone;

pub use hickory_proto as proto;
pub use message::{ExtendedError, Question, Request, encode, read};
pub use objects::{Endpoint, Face, Key, Port, Service, Slice};
pub use zone::{Answer, TTL, Zone};
