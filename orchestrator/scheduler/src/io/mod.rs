//! The edges to the API: what comes in by watches, what goes out as bindings, conditions and events.

pub(crate) mod bind;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod random;
mod send;
pub(crate) mod volumes;
pub(crate) mod watch;
pub(crate) mod write;
pub(crate) mod writes;
