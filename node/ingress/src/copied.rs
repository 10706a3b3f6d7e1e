//! Bodies of requests that go to two servers, one of which nobody waits for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::body::{Body, BodyError, Holder};

/// Pieces of a body that the receiver of a copy may be behind.
const BEHIND: usize = 64;

/// A body that is copied on its way.
struct Copied {
    inner: Body,
    /// None once the copy was given up.
    to: Option<mpsc::Sender<Piece>>,
}

/// What a copy is told; a copy that is told of no end has none.
enum Piece {
    Frame(Frame<Bytes>),
    End,
}

/// The copy of a body.
struct Copy<H> {
    from: mpsc::Receiver<Piece>,
    ended: bool,
    _holder: H,
}

/// The body, and a copy of what passes through it. Nobody waits for the receiver of the copy: if it falls behind, the copy breaks
/// off. The holder is dropped with the copy.
pub(crate) fn copied<H: Holder>(body: Body, holder: H) -> (Body, Body) {
    let (to, from) = mpsc::channel(BEHIND);
    let copy = Copy { from, ended: false, _holder: holder };
    (Body::new(Copied { inner: body, to: Some(to) }), Body::new(copy))
}

impl Copied {
    fn tell(&mut self, piece: Piece) {
        if self.to.as_ref().is_some_and(|to| to.try_send(piece).is_err()) {
            self.to = None;
        }
    }
}

impl http_body::Body for Copied {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let came = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &came {
            Some(Ok(frame)) => {
                if let Some(copy) = copy_of(frame) {
                    self.tell(Piece::Frame(copy));
                }
                if self.inner.is_end_stream() {
                    self.tell(Piece::End);
                }
            }
            Some(Err(_)) => self.to = None,
            None => self.tell(Piece::End),
        }
        Poll::Ready(came)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn copy_of(frame: &Frame<Bytes>) -> Option<Frame<Bytes>> {
    let data = frame.data_ref().cloned().map(Frame::data);
    data.or_else(|| frame.trailers_ref().cloned().map(Frame::trailers))
}

impl<H: Holder> http_body::Body for Copy<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = ready!(self.from.poll_recv(cx));
        Poll::Ready(match piece {
            Some(Piece::Frame(frame)) => Some(Ok(frame)),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => Some(Err(BodyError::Abandoned)),
        })
    }
}
