//! What is left of a body that nobody read.
//!
//! Over HTTP/1 a connection whose request was not read to its end cannot carry another one. So after an answer that
//! did not need the body, a refusal for instance, the rest of it is read and thrown away, unless it is long or slow:
//! then the connection is closed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Version;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;

/// How much is thrown away at most.
const LIMIT: usize = 256 * 1024;
/// How long that may take at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// The other end of a body that was lent to whoever answers.
#[derive(Default)]
pub(crate) struct Rest(Option<Arc<Mutex<Body>>>);

impl Rest {
    /// Lends a body. Later versions of HTTP do without, and so does a body that is empty.
    pub(crate) fn lend(version: Version, body: Body) -> (Self, Body) {
        if version > Version::HTTP_11 || body.is_end_stream() {
            return (Self(None), body);
        }
        let hint = body.size_hint();
        let shared = Arc::new(Mutex::new(body));
        (Self(Some(Arc::clone(&shared))), Body::new(Lent { body: shared, hint }))
    }

    /// Throws away what was not read.
    pub(crate) async fn discard(self) {
        let Some(shared) = self.0 else { return };
        let body = std::mem::take(&mut *shared.lock());
        if !body.is_end_stream() {
            let reading = Limited::new(body, LIMIT).collect();
            // Whatever went wrong with it: the connection sees it, too.
            drop(tokio::time::timeout(PATIENCE, reading).await);
        }
    }
}

/// A body that somebody else holds on to.
struct Lent {
    body: Arc<Mutex<Body>>,
    hint: SizeHint,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_body_is_read_through_and_its_rest_thrown_away() {
        let frames = futures::stream::iter(["a", "b", "c"].map(Ok::<_, std::io::Error>));
        let (rest, mut lent) = Rest::lend(Version::HTTP_11, Body::from_stream(frames));
        let first = lent.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "a");
        rest.discard().await;
        assert!(lent.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_endless_body_is_given_up() {
        let frames = futures::stream::repeat(Bytes::from(vec![0; 65536])).map(Ok::<_, std::io::Error>);
        let (rest, _lent) = Rest::lend(Version::HTTP_11, Body::from_stream(frames));
        rest.discard().await;
    }
}
