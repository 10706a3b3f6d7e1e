//! Responses of the server itself, and the tie between a component's response body and its instance.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::{Error, WasiBody};

/// Why a request was not answered by the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No instance could be had in time.
    Busy,
    /// The component took too long to begin its response.
    TooSlow,
    /// The component trapped or gave no answer.
    Failed,
    /// It asks for something else than HTTP, which `wasi:http` has no words for.
    NotHttp,
}

impl Problem {
    /// What the client is told; the container's log says more.
    pub(crate) fn response(self) -> Response<WasiBody> {
        let (status, text) = match self {
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many requests are being served\n"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time\n"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the component failed; its log says why\n"),
            Self::NotHttp => (
                StatusCode::NOT_IMPLEMENTED,
                "WebSockets and tunnels are not served: wasi:http has requests and responses only\n",
            ),
        };
        let body = Full::new(Bytes::from_static(text.as_bytes()));
        let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}

/// What a response body and the instance that writes it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The body ended or its reader left.
    pub(crate) done: CancellationToken,
    /// The instance runs where its request comes from, and gives way when it has answered.
    pub(crate) gives_way: bool,
    failed: AtomicBool,
}

impl Exchange {
    /// With an instance that begins there, if that is possible.
    pub(crate) fn new(gives_way: bool) -> Arc<Self> {
        Arc::new(Self { gives_way, ..Self::default() })
    }

    /// The instance failed: a body that has not ended yet must not look as if it had.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Whether the instance failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}

/// Ends the exchange when dropped.
#[derive(Debug)]
pub(crate) struct Done(pub(crate) Arc<Exchange>);

impl Done {
    /// Ties `body` to the exchange, which ends with it.
    pub(crate) fn tie(self, body: WasiBody) -> WasiBody {
        Tied { body, exchange: self }.boxed_unsync()
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done.cancel();
    }
}

struct Tied {
    body: WasiBody,
    exchange: Done,
}

impl Body for Tied {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() && self.exchange.0.failed() {
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
