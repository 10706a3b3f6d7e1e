//! The cluster's DNS on this node: what the names of Services and Pods lead to, for Pods of every kind.
//!
//! ```text
//! watch on Services and slices -> Feed -> Zone (wherry-dns) <- ClusterDns <- Server   (packets of Pods with a resolver)
//!                                              names of others -> Forwarder <- GuestNames (guests in this process)
//! ```
//!
//! Every node answers for all of the cluster, from what its proxy of Services follows anyway, so a name leads to a new
//! endpoint when connections do. The address is a Service address that belongs to the node itself: packets to it
//! are not translated, and never leave the node. Guests without a resolver of their own ask in process.
//!
//! - [`DnsSettings`], [`of_pod`]: what Pods are told (`policy`), in the form of `resolv_conf`.
//! - [`Feed`], `objects`: from watch events to the zone.
//! - [`ClusterDns`]: answers. `forward`, `cache`: names that are not the cluster's.
//! - [`serve`] (`server`, `replies`), [`GuestNames`] (`guests`): who asks.

mod cache;
mod cluster;
mod feed;
mod forward;
mod guests;
mod objects;
mod policy;
mod replies;
mod resolv_conf;
mod server;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use cluster::ClusterDns;
pub(crate) use feed::Feed;
pub(crate) use guests::GuestNames;
pub use policy::DnsSettings;
pub(crate) use policy::of_pod;
pub(crate) use resolv_conf::{NODE, of_node, render};
pub(crate) use server::{PORT, serve};
