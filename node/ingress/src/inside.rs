//! Servers of this process: they are asked without a connection.

use std::net::SocketAddr;

use futures::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;

/// Why a server of this process gave no answer.
pub type Ended = Box<dyn std::error::Error + Send + Sync>;

/// Knows the servers of this process.
pub trait Inside: Send + Sync {
    /// The server that listens at an address, if it is of this process and speaks HTTP/1.1 there.
    fn at(&self, address: SocketAddr) -> Option<Box<dyn Server>>;
}

/// A server of this process.
pub trait Server: Send + Sync {
    /// Answers a request as it would answer one that came by a connection of HTTP/1.1. Dropped, the client has left.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Ended>>;
}

/// There are none.
pub(crate) struct Nobody;

impl Inside for Nobody {
    fn at(&self, _: SocketAddr) -> Option<Box<dyn Server>> {
        None
    }
}
