//! ServiceAccounts: the tokens they are known by and what their Pods get of them.
//!
//! A token is a JWT signed by the cluster's own key ([`TokenIssuer`]). It says for whom it is, for which
//! audiences, until when, and which Pod, Secret or Node it is bound to ([`claims`]). `verbs::token` issues one,
//! [`authenticate`] takes one back: it counts only while the objects that it names still exist.
//! `admission::service_account` gives each new Pod its ServiceAccount and the volume with the token.

pub(crate) mod authenticate;
pub(crate) mod claims;
mod issuer;
pub(crate) mod legacy;

pub use issuer::{IssuerOptions, TokenIssuer};
pub(crate) use issuer::{Said, issuer_of};
