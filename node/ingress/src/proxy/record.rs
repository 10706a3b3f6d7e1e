//! What is noted of each request: its tally, and a line of the access log (target `wherry_ingress::access`, level `debug`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Uri};
use tokio::time::Instant;

use crate::body::{Body, Holder};
use crate::metrics::Metrics;
use crate::pools::Lease;
use crate::rule::Rule;

/// A request that is under way; noted when it is dropped.
pub(super) struct Record {
    metrics: Arc<Metrics>,
    began: Instant,
    client: IpAddr,
    method: Method,
    uri: Uri,
    host: String,
    rule: Option<Arc<str>>,
    endpoint: Option<SocketAddr>,
    status: StatusCode,
}

impl Record {
    pub(super) fn new<B>(metrics: Arc<Metrics>, client: IpAddr, request: &Request<B>) -> Self {
        Self {
            metrics,
            began: Instant::now(),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: String::new(),
            rule: None,
            endpoint: None,
            // As nginx has it: the client went away before there was an answer.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_GATEWAY),
        }
    }

    /// It is about this host, and this rule is about it.
    pub(super) fn meets(&mut self, rule: &Rule, host: String) {
        (self.rule, self.host) = (Some(rule.name.clone()), host);
    }

    pub(super) fn went_to(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
    }

    /// It is answered so; the body follows.
    pub(super) fn answered(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// It is answered by the proxy itself.
    pub(super) fn done(self, response: Response<Body>) -> Response<Body> {
        drop(self.answered(response.status()));
        response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let time = self.began.elapsed();
        self.metrics.request(self.rule.as_ref(), self.status, time);
        tracing::debug!(
            target: "wherry_ingress::access",
            client = %self.client, method = %self.method, host = %self.host, path = %self.uri.path(),
            status = self.status.as_u16(), rule = self.rule.as_deref(),
            endpoint = self.endpoint.map(tracing::field::display), micros = time.as_micros(),
            "request",
        );
    }
}

/// An answer under way: its connection and its record.
pub(super) struct Exchange {
    lease: Option<Lease>,
    _record: Record,
}

impl Exchange {
    pub(super) fn new(lease: Lease, record: Record) -> Self {
        Self { lease: Some(lease), _record: record }
    }
}

impl Holder for Exchange {
    fn ended(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}
