//! Where requests go: the endpoints of one port of one Service.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

use crate::filters::HeaderEdits;

/// What endpoints are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 without TLS.
    Http2,
}

/// The endpoints of one port of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// What it is called in the log.
    pub name: Arc<str>,
    /// Where it is found.
    pub endpoints: Vec<SocketAddr>,
    /// What they speak.
    pub protocol: Protocol,
    /// What is answered while it is nowhere.
    pub nowhere: StatusCode,
    /// What of the headers of requests that go to it is changed, after what the rule says; copies for mirrors have none of it.
    pub request: HeaderEdits,
    /// What of the headers of its answers is changed, after what the rule says.
    pub response: HeaderEdits,
}

impl Backend {
    /// A number that is the same for all backends of this name, also for those of later tables.
    pub(crate) fn number(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(&*self.name)
    }
}
