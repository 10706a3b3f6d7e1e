//! Where connections of pods lead, as whoever keeps the node's network knows it.

use std::net::{IpAddr, SocketAddr};

/// Chooses where connections end, as the network of the node would.
pub trait Paths: Send + Sync {
    /// Where a connection of a pod's address to this one ends; `None` where only the network knows.
    fn lead(&self, from: IpAddr, to: SocketAddr) -> Option<Path>;

    /// Which rules there are of who may connect to whom: a number that is another one after they changed. A connection that was made
    /// under others is not used for a further request.
    fn rules(&self) -> u64 {
        0
    }

    /// A request was handed over within the process.
    fn handed_over(&self) {}
}

/// One way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it ends.
    pub endpoint: SocketAddr,
    /// Whether the network may refuse it, so that it is for the network to decide.
    pub judged: bool,
}

/// Knows nothing: all goes by the network.
pub(crate) struct Network;

impl Paths for Network {
    fn lead(&self, _: IpAddr, _: SocketAddr) -> Option<Path> {
        None
    }
}
