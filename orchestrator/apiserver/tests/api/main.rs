//! The API over HTTP, in process, on a real store: what clients see.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod apply;
mod apply_owners;
mod bad_input;
mod chunking;
mod class_admission;
mod concurrency;
mod conformance_core;
mod conformance_groups;
mod conformance_machinery;
mod conformance_policies;
mod deletion;
mod discovery;
mod flow;
mod harness;
mod health;
mod hooks;
mod impersonation;
mod listing;
mod logs;
mod matrix;
mod metrics;
mod namespaces;
mod objects;
mod openapi;
mod operations;
mod patches;
mod pods;
mod policies;
mod protocol;
mod protocol_tls;
mod proxy;
mod proxy_tunnel;
mod quota;
mod rbac;
mod reviews;
mod service_account_admission;
mod service_account_tokens;
mod services;
mod subresources;
mod tables;
mod watchers;
mod watching;
mod webhooks;
