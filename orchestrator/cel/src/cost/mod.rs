//! What expressions cost: counted while they run ([`actual`]), and estimated before ([`estimate`]). The numbers are
//! those of cel-go and of Kubernetes' own libraries, because limits on them are part of the API.

pub(crate) mod actual;
mod call;
mod estimate;
mod range;

pub(crate) use estimate::estimate;
pub use estimate::{Node, Sizes};
pub use range::Range;

/// Of a character that is walked over.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// Of a character of a pattern.
pub(crate) const PATTERN: f64 = 0.25;
/// Of making a list.
pub(crate) const LIST: u64 = 10;
/// Of making a map.
pub(crate) const MAP: u64 = 30;
/// Of making a message.
pub(crate) const MESSAGE: u64 = 40;
/// Of an authorization check: two of them fit into the limit of an expression.
pub(crate) const CHECK: u64 = 350_000;
