//! Bodies on their way through, which may not stand still for long.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// A body of either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke off, or what came is no body.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whoever it was copied from broke off, or was faster than the one that gets the copy.
    #[error("the body was not copied to its end")]
    Abandoned,
    /// Nothing came.
    #[error("nothing of the body came in time")]
    Stalled,
}

/// A line of text.
pub(crate) fn line(text: &str) -> Body {
    Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What holds on to a body until it ended.
pub(crate) trait Holder: Unpin + Send + 'static {
    /// The body came to its end. Whoever is only dropped has seen it break off.
    fn ended(&mut self);
}

impl Holder for () {
    fn ended(&mut self) {}
}

/// A body as it comes in: by a connection, or from within the process.
pub(crate) type Received = Either<Incoming, Body>;

/// A body that comes in time or breaks off.
pub(crate) struct Timed<H> {
    inner: Received,
    holder: H,
    patience: Duration,
    /// Made when the body is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<H: Holder> Timed<H> {
    /// Each piece of the body comes within that time.
    pub(crate) fn new(inner: Received, holder: H, patience: Duration) -> Self {
        let mut timed = Self { inner, holder, patience, waiting: None };
        if timed.inner.is_end_stream() {
            timed.holder.ended();
        }
        timed
    }
}

impl<H: Holder> http_body::Body for Timed<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(came) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.waiting = None;
            if came.is_none() || this.inner.is_end_stream() {
                this.holder.ended();
            }
            return Poll::Ready(came.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let until = Instant::now() + this.patience;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
