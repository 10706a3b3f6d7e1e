//! Reconcile loops over the Kubernetes API: an ordinary client of it and nothing else.
//!
//! Every controller is `observe -> plan -> apply`: it reads the shared caches, a pure function of what it saw
//! and of the time decides, and the decisions are applied one API call after the other. A plan that finds the
//! world as it should be is empty, so nothing is ever written that changes nothing.
//!
//! Reading order: [`run`] and [`Config`] (the way in), `table` (one line a controller), `caches` (one line a
//! kind), `runtime` (caches, queues, expectations, events: what all controllers share), `objects` (small facts
//! about Kubernetes objects), then one module a controller.

mod account_tokens;
mod autoscaler;
mod bootstrap_tokens;
mod caches;
mod certificates;
mod cluster_role;
mod config;
mod context;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod garbage;
mod job;
mod load_balancer;
mod namespace;
mod nodes;
mod objects;
mod replica_set;
mod resource_claim;
mod resource_quota;
mod root_ca;
mod run;
mod runtime;
mod service_account;
mod service_cidrs;
mod stateful_set;
mod storage;
mod table;
mod ttl_after_finished;

pub use account_tokens::{TokenMinter, TokenSubject};
pub use autoscaler::Autoscaling;
pub use certificates::{AlternativeName, Authority, Leaf, SignError};
pub use config::Config;
pub use nodes::ranges::{NodeRange, NodeRangeError, NodeRanges};
pub use run::{Error, run};
pub use runtime::budget::Budget;
