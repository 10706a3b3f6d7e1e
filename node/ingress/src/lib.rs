//! The proxy at layer 7: which rule a request meets, and how it reaches an endpoint. It knows no Kubernetes objects.
//!
//! ```text
//! Door (listens) -> TLS by Certificates -> check (head) -> Table (rule) -> pick (backend, endpoint) -> Pools (connection)
//!        ^                 ^                                   ^
//!        +--------- Site: what a door leads to, exchanged as a whole while requests go on
//! ```
//!
//! Reading order:
//! - [`Rule`], [`Table`], [`Backend`]: what is wanted, as data; `filters`: what a rule changes of requests. [`Site`]: all of it that one door needs.
//! - [`Certificates`]: which certificate a name is shown.
//! - [`check`]: which requests are refused unseen; `headers`: what is taken from, and told to, the next hop.
//! - [`Proxy`]: a request's way to an endpoint and back, with its retries. `pools`, `tls`, `health`: connections and who is passed over.
//!   [`Inside`]: endpoints that need none.
//! - [`Door`]: listens, and drains when it is told to stop. [`Limits`], [`Metrics`].

mod answer;
mod backend;
mod body;
mod certificates;
mod check;
mod copied;
mod door;
mod filters;
mod headers;
mod health;
mod inside;
mod limits;
mod metrics;
mod pools;
mod proxy;
mod quiet;
mod rule;
mod site;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;

pub use backend::{Backend, Protocol};
pub use body::{Body, BodyError};
pub use certificates::{Certificate, CertificateError, Certificates, server_config};
pub use check::{Refusal, check, host_of};
pub use door::Door;
pub use filters::{Fraction, HeaderEdits, PathEdit, Redirect, Rewrite};
pub use inside::{Ended, Inside, Server};
pub use limits::Limits;
pub use metrics::{Metrics, RouteTally};
pub use proxy::Proxy;
pub use rule::{Action, Conditions, Forward, Host, PathMatch, Rule};
pub use site::Site;
pub use table::Table;
pub use tls::TRUSTING;
