//! Placement of Pods on Nodes: an ordinary client of the Kubernetes API.
//!
//! Flow: watches of Pods and Nodes feed one task that owns all state. It keeps what each node has given away
//! (`cluster`), takes the next Pod (`queue`), decides where it goes (`cycle`, pure: filters, then scores, one
//! plugin a file), assumes that it is there, and binds it beside the next cycle. For a Pod that fits nowhere it makes
//! room by ending others of lower priority (`preemption`).
//!
//! Reading order: [`run`] and [`Config`], `scheduler` (the task), `queue`, `cycle`, `plugins`, `cluster`, `pod`,
//! `preemption`, `extender`, `profiles`, `io` (watches, binding, events), `metrics`.

mod cluster;
mod config;
mod cycle;
mod event;
mod extender;
mod io;
mod metrics;
mod plugins;
mod pod;
mod preemption;
mod profiles;
mod queue;
pub mod rehearsal;
mod run;
mod scheduler;

pub use config::{Config, Configuration, ConfigurationError};
pub use extender::ConnectError;
pub use metrics::Metrics;
pub use run::{Error, run};
