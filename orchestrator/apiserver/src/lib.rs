//! The Kubernetes HTTP API over the store: generic, driven by the kinds table and the schemas.
//!
//! A request passes: authenticate ([`auth`], `authentication`, `impersonate`), route, authorize (`authorize`), decode and complete (`verbs::incoming`), the rules of
//! its kind (`kinds`), validation, the store with optimistic concurrency, and out again as bytes. Reads never decode.
//!
//! Reading order: `server` and `handle` (the way of a request), `request` (what it says), `verbs` (what it does),
//! `kinds`, `validation` and `custom` (the rules), `authorize` (who may do what), `service_accounts` (their tokens, made with `jose`), `table` (how it is shown), `proxy`
//! (requests passed on), `aggregate` (groups that other servers serve), `outbound` (requests to programs that extend this one), `audit` (what is recorded), `encryption` (what is sealed on disk), `codec` (the stored form), `status` (failures as HTTP), `front` and `flow` (who waits when too much is asked),
//! `discovery`, `openapi`, `health`, `metrics` and `about` (what the server tells of itself), `serve` (TLS), `rotating` (certificates that are replaced).

mod about;
mod admission;
mod aggregate;
mod allocate;
pub mod audit;
pub mod auth;
mod authentication;
mod authorize;
mod batched;
pub mod bootstrap;
mod bootstrap_tokens;
mod client_certificates;
mod codec;
pub mod config;
mod custom;
mod discovery;
pub mod encryption;
mod error;
mod extract;
mod flow;
mod follow;
mod front;
mod handle;
mod health;
mod held;
mod hex;
mod impersonate;
mod jose;
mod kinds;
mod lean;
mod metrics;
mod node_client;
mod notes;
mod object;
mod openapi;
mod outbound;
mod proxy;
mod reader;
mod references;
mod request;
mod request_headers;
mod respond;
mod rotating;
pub mod serve;
mod server;
mod service_accounts;
mod state;
mod status;
mod table;
pub mod tokens;
mod validation;
mod verbs;

pub use auth::UserInfo;
pub use authentication::{
    Authentication, AuthenticationError, AuthenticationOptions, OidcFlags, WebhookOptions,
};
pub use authorize::{AuthorizationConfiguration, AuthorizationError, WebhookFlags};
pub use codec::{from_yaml, rewrite};
pub use config::{
    Admission, Answerer, Authorization, Build, Config, HostedVersion, MetricsPage, NodeClientTls,
};
pub use extract::extractor;
pub use jose::KeyError;
pub use request_headers::RequestHeaders;
pub use rotating::Rotating;
pub use serve::{ServeError, TlsConfig};
pub use server::ApiServer;
pub use service_accounts::{IssuerOptions, TokenIssuer};
pub use tokens::{TokenFileError, Tokens};
