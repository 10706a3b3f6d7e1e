//! The way from the controllers to the API server, and what can go wrong on it.
//!
//! A request may be refused by a conflict or an error of the server, come late, or not at all; it may be carried out and
//! its answer lost. A watch may end, and what it says may come late or twice. It never lies: nothing is left out or put in
//! another order, unless the network is told to [`Network::forget`], which is how a simulation shows that it would notice.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};
use tower::{Service, ServiceExt as _};

use crate::random::Random;

/// Whether things go wrong now; shared by all who make them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather(Arc<AtomicBool>);

impl Weather {
    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nothing goes wrong.
    pub(crate) fn is_calm(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A service that passes requests on, if it feels like it.
#[derive(Clone)]
pub(crate) struct Network {
    router: Router,
    random: Random,
    weather: Weather,
    /// How many of a thousand answers of watches are left out.
    forgotten: u64,
}

/// What becomes of a request.
enum Fate {
    Passed,
    Refused(StatusCode),
    Unsent,
    AnswerLost,
}

impl Network {
    /// A way to a server.
    pub(crate) fn new(router: Router, random: Random, weather: Weather) -> Self {
        Self { router, random, weather, forgotten: 0 }
    }

    /// Leaves out this many of a thousand answers of watches, which no network does.
    #[must_use]
    pub(crate) fn forget(self, per_mille: u64) -> Self {
        Self { forgotten: per_mille, ..self }
    }

    fn fate(&self, method: &Method) -> Fate {
        if self.weather.is_calm() {
            return Fate::Passed;
        }
        let writes = method != Method::GET;
        match self.random.between(0..=999) {
            0..=19 => Fate::AnswerLost,
            20..=34 => Fate::Unsent,
            35..=49 => Fate::Refused(StatusCode::INTERNAL_SERVER_ERROR),
            50..=79 if writes && method != Method::POST => Fate::Refused(StatusCode::CONFLICT),
            _ => Fate::Passed,
        }
    }

    async fn hold(&self) {
        if !self.weather.is_calm() && self.random.per_mille(150) {
            sleep(self.random.millis(1..=3000)).await;
        }
    }

    async fn pass(self, request: Request<Body>) -> io::Result<Response<Body>> {
        let fate = self.fate(request.method());
        let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
        self.hold().await;
        match fate {
            Fate::Refused(code) => return Ok(refusal(code)),
            Fate::Unsent => return Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Passed | Fate::AnswerLost => {}
        }
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err::<_, Infallible>(never) => match never {},
        };
        self.hold().await;
        if matches!(fate, Fate::AnswerLost) && !watches {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(if watches { answer.map(|body| Body::from_stream(self.unreliable(body))) } else { answer })
    }

    /// What a watch says, late, twice, and only for a while.
    fn unreliable(self, body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
        let life = if self.weather.is_calm() { Duration::MAX } else { self.random.millis(500..=30_000) };
        let end = Instant::now().checked_add(life);
        stream::unfold((self, body.into_data_stream()), move |(network, mut body)| async move {
            loop {
                let next = match end.filter(|_| !network.weather.is_calm()) {
                    Some(end) => timeout_at(end, body.next()).await.ok()?,
                    None => body.next().await,
                };
                let said = next?;
                if network.random.per_mille(network.forgotten) {
                    continue;
                }
                network.hold().await;
                let twice = !network.weather.is_calm() && network.random.per_mille(50);
                let said = said
                    .map(|bytes| if twice { Bytes::from([&bytes[..], &bytes[..]].concat()) } else { bytes });
                return Some((said, (network, body)));
            }
        })
    }
}

impl Service<Request<kube::client::Body>> for Network {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        Box::pin(self.clone().pass(request.map(Body::new)))
    }
}

fn refusal(code: StatusCode) -> Response<Body> {
    let reason = if code == StatusCode::CONFLICT { "Conflict" } else { "InternalError" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": "made up by the simulation", "code": code.as_u16(),
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = code;
    response
}
