//! A control plane with its controllers and scheduler in this process, and a kubelet that only pretends.
//!
//! Reading order: [`support`] (the cluster and its kubelet), then one module for each controller under test. A test that
//! does what a description of the conformance suite says bears its name (`docs/conformance.md`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aggregator;
mod autoscaler;
mod collection;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoints;
mod job;
mod kubelet;
mod node_ranges;
mod quota;
mod replicas;
mod roles;
mod scheduling;
mod service_cidrs;
mod stateful_set;
mod storage;
mod support;
mod taints;
