//! What nodes and Pods use now: the API `metrics.k8s.io/v1beta1`, as metrics-server serves it. An ordinary client of the
//! Kubernetes API and nothing else: it reads nodes' `/metrics/resource` by way of `nodes/NAME/proxy`.
//!
//! ```text
//! a question -> request (what is asked) -> sampler (two scrapes of all nodes) -> usage (rates) -> objects or table
//! ```
//!
//! # Guarantees
//! Nothing is asked of nodes while nobody asks here, and only the last two scrapes are kept. While questions come, nodes are
//! asked at most every 15 s, as metrics-server does.
//!
//! Reading order: `server` (the way in), `request`, `sampler`, `scrape` and `exposition` (what nodes say), `usage`, then
//! `objects` and `table` (what is answered).

mod exposition;
mod objects;
mod request;
mod sampler;
mod scrape;
mod server;
mod table;
mod usage;

pub use server::{GROUP, MetricsServer, VERSION};
