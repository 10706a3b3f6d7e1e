//! What reaches whom through Services.
//!
//! A test, or a function of the test that shares its cluster, that does what a description says bears its name
//! (`docs/conformance.md`).

mod dual_stack;
mod endpoint_slices;
mod endpoints;
mod guestbook;
mod host_ports;
mod latency;
mod load_balancer;
mod matrix;
mod networking;
mod policies;
mod reach;
