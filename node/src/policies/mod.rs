//! NetworkPolicies on this node: which packets reach its Pods, and which leave them.
//!
//! ```text
//! watch (NetworkPolicies; Pods and Namespaces while there is one) -> world (what is known, who is local)
//!    -> plan (pure: the chains, sets and maps) -> kernel (an nftables table for each family, changed by transactions)
//! ```
//!
//! Guarantees: a Pod's containers start only when its policies stand in the kernel ([`Gate::admit`]). A change is one transaction.
//! Rules of an earlier run stay in force until all lists are complete, and stay when the agent ends. A packet to a ClusterIP is
//! judged by the Pod behind it. As in Kubernetes, a Pod reaches itself, and a Pod and its own node reach each other, whatever
//! policies say; connections that were let in stay.
//!
//! Leaves to others: loopback mode, where no kernel could be told; there no policy has an effect.

mod gate;
mod judged;
mod kernel;
mod model;
mod plan;
mod ruleset;
#[cfg(test)]
mod tests;
mod watch;
mod world;

pub(crate) use gate::{Gate, Requests};
pub(crate) use judged::Judged;
pub(crate) use watch::serve;

use crate::network::Layout;

/// Where this node's Pods are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The node's name.
    pub(crate) node: String,
    /// The addresses of its Pods.
    pub(crate) layout: Layout,
}
