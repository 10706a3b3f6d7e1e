//! Attacks on a running `wherry apiserver`, over TLS: one line each, all refused, and nothing told.
//!
//! Reading order: `client` (how an attacker talks), `secrecy` (what nobody may learn), then one file for each way in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backend;
mod certificates;
mod client;
mod frames;
mod headers;
mod jwt;
mod paths;
mod secrecy;
mod tokens;
