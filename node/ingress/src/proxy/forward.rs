//! A request that goes on to an endpoint, and the answer that comes back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::attempt::{Answered, Failure, Outgoing};
use super::record::{Exchange, Record};
use super::{Client, Proxy, Turn, number_of};
use crate::backend::Backend;
use crate::body::{self, Body, Timed};
use crate::check::wants_upgrade;
use crate::filters::HeaderEdits;
use crate::rule::{Forward, Rule};
use crate::{answer, headers, tunnel};

impl Proxy {
    pub(super) async fn forward(
        self: &Arc<Self>,
        (rule, forward): (&Rule, &Forward),
        client: Client,
        request: Request<Incoming>,
        mut record: Record,
    ) -> Response<Body> {
        let Some(backend) = self.pick(&rule.name, &forward.backends) else {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return record.done(answer::plain(status, "no backend takes requests of this rule"));
        };
        let (mut head, body) = request.into_parts();
        let upgrade = wants_upgrade(&head);
        let upgraded = upgrade.then(|| head.extensions.remove::<OnUpgrade>()).flatten();
        if let Err(text) = change(&mut head, rule, forward, &client, upgrade) {
            return record.done(answer::plain(StatusCode::BAD_REQUEST, text));
        }
        let mut outgoing = Outgoing::new(head, body, self.limits.stalled);
        if upgraded.is_none() {
            self.mirror(rule, forward, &mut outgoing);
        }
        // Who gets a copy sees nothing of what is for this backend alone.
        outgoing.edit(&backend.request);
        let asked = self.ask(backend, outgoing, forward.answer_time.unwrap_or(self.limits.answer));
        let time = forward.time.unwrap_or(Duration::MAX);
        let answered = tokio::time::timeout(time, asked).await;
        match answered.unwrap_or(Err(Failure::Late)) {
            Ok(answered) => {
                record.went_to(answered.endpoint);
                self.relay(answered, [&forward.response, &backend.response], upgraded, record)
            }
            Err(failure) => {
                let (backend, cause) = (&*backend.name, &failure as &dyn std::error::Error);
                tracing::debug!(backend, error = cause, "a request was not answered");
                record.done(answer::plain(failure.status(), &failure.to_string()))
            }
        }
    }

    /// Passes an answer on.
    fn relay(
        &self,
        answered: Answered,
        edits: [&HeaderEdits; 2],
        upgraded: Option<OnUpgrade>,
        record: Record,
    ) -> Response<Body> {
        let Answered { mut response, lease, .. } = answered;
        *response.version_mut() = Version::HTTP_11;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let endpoint = response.extensions_mut().remove::<OnUpgrade>();
            let Some((client, endpoint)) = upgraded.zip(endpoint) else {
                let text = "the endpoint changed to a protocol that nobody asked for";
                return record.done(answer::plain(StatusCode::BAD_GATEWAY, text));
            };
            let stop = self.stop.clone();
            self.tunnels.spawn(async move { stop.run_until_cancelled(tunnel::join(client, endpoint)).await });
            let protocol = response.headers().get(UPGRADE).cloned();
            headers::back(response.headers_mut());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            protocol.and_then(|protocol| response.headers_mut().insert(UPGRADE, protocol));
            return record.done(response.map(|_| body::empty()));
        }
        headers::back(response.headers_mut());
        for one in edits {
            one.apply(response.headers_mut());
        }
        let exchange = Exchange::new(lease, record.answered(response.status()));
        let stalled = self.limits.stalled;
        response.map(|body| Body::new(Timed::new(body, exchange, stalled)))
    }

    /// Sends copies of the request to whoever gets one.
    fn mirror(self: &Arc<Self>, rule: &Rule, forward: &Forward, outgoing: &mut Outgoing) {
        for (fraction, backend) in &forward.mirrors {
            if !fraction.takes(self.turn(Turn::Mirror, number_of(&rule.name) ^ backend.number())) {
                continue;
            }
            let Ok(place) = self.mirrored.clone().try_acquire_owned() else { return };
            let (proxy, backend, copy) = (self.clone(), backend.clone(), outgoing.copy());
            let stop = self.stop.clone();
            let sent = async move {
                stop.run_until_cancelled(proxy.send_copy(&backend, copy)).await;
                drop(place);
            };
            self.tunnels.spawn(sent);
        }
    }

    async fn send_copy(&self, backend: &Backend, copy: Outgoing) {
        let time = self.limits.answer;
        match self.ask(backend, copy, time).await {
            Ok(Answered { response, lease, .. }) => {
                let mut body = response.into_body();
                let read = async { while let Some(Ok(_)) = body.frame().await {} };
                // Read to its end, the connection serves the next copy.
                if tokio::time::timeout(time, read).await.is_ok() {
                    lease.give_back();
                }
            }
            Err(failure) => {
                let (backend, cause) = (&*backend.name, &failure as &dyn std::error::Error);
                tracing::debug!(backend, error = cause, "a copy of a request was not answered");
            }
        }
    }
}

/// Makes the head that of the next hop, as the rule says.
fn change(
    head: &mut Parts,
    rule: &Rule,
    forward: &Forward,
    client: &Client,
    upgrade: bool,
) -> Result<(), &'static str> {
    let authority = head.uri.authority().and_then(|named| HeaderValue::from_str(named.as_str()).ok());
    let host = authority.or_else(|| head.headers.get(HOST).cloned()).ok_or("the request names no host")?;
    headers::forward(&mut head.headers, &host, client, upgrade);
    let root = || PathAndQuery::from_static("/");
    let target = head.uri.path_and_query().cloned().unwrap_or_else(root);
    let target = forward.rewrite.target(&target, &rule.path).ok_or("the rewritten path is none")?;
    head.uri = Uri::from(target);
    if let Some(host) = &forward.rewrite.host {
        head.headers.insert(HOST, host.clone());
    }
    forward.request.apply(&mut head.headers);
    Ok(())
}
