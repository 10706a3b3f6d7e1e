//! What the node tells of itself and of its Pods: `/metrics`, `/metrics/resource`, `/metrics/cadvisor`, `/metrics/probes`,
//! `/stats/summary`, `/pods`, `/configz` and `/healthz`, in kubelet's formats.
//!
//! Nothing is collected while nobody asks: each answer is read from the kernel, and from the wasm runtime's own accounts, when it
//! is asked for.
//!
//! Reading order: `snapshot` and `host` (what there is), then a file for each page.

mod cadvisor;
mod exposition;
mod host;
mod ingress;
mod kubelet;
mod probes;
mod rates;
mod resource;
mod server;
mod services;
mod snapshot;
mod summary;

pub(crate) use server::{StatsState, router};
