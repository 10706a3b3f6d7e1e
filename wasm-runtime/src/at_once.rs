//! Instances that run where their requests come from until they first wait, so that one that answers without waiting is no task of its own.
//!
//! # Guarantees
//! Whatever waits becomes a task, which nobody's end ends but its own. An instance runs on the threads of its container only: it does not run
//! at once for who is on others. The thread's stack holds: not many run at once inside of each other.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, WasiBody};

/// So many run inside of each other: a guest that is answered at once by a guest that is, and so on.
const DEEPEST: usize = 4;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Where an instance begins to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Where its request comes from, if that is possible.
    AtOnce,
    /// As a task.
    Apart,
}

/// What is left of one that waits. Dropped, it becomes a task.
pub(crate) struct Left {
    attended: Option<BoxFuture<'static, ()>>,
    threads: Handle,
}

impl Left {
    /// Runs on until it waits for something else, if what it waited for is there.
    pub(crate) fn go_on(mut self) {
        let left = self.attended.take().and_then(|attended| run(attended, &self.threads));
        drop(left);
    }

    /// The same on a thread that is none of its container's, but in the same network namespace.
    pub(crate) fn go_on_here(self) {
        let threads = self.threads.clone();
        let _entered = threads.enter();
        self.go_on();
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(attended) = self.attended.take() {
            drop(self.threads.spawn(attended));
        }
    }
}

/// Whether one of a container with these threads may run at once.
pub(crate) fn is_possible(threads: &Handle) -> bool {
    DEPTH.get() < DEEPEST && Handle::try_current().is_ok_and(|here| here.id() == threads.id())
}

/// Runs one until it waits. One that panics leaves nothing, as a task.
pub(crate) fn run(mut attended: BoxFuture<'static, ()>, threads: &Handle) -> Option<Left> {
    struct Deeper;
    impl Drop for Deeper {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _deeper = Deeper;
    // Who goes on with it has a waker of its own.
    let mut context = Context::from_waker(Waker::noop());
    match AssertUnwindSafe(&mut attended).catch_unwind().poll_unpin(&mut context) {
        Poll::Ready(_) => None,
        Poll::Pending => Some(Left { attended: Some(attended), threads: threads.clone() }),
    }
}

/// A body of which all is taken that is there already; it looks as it did.
pub(crate) struct Ahead {
    taken: VecDeque<Result<Frame<Bytes>, Error>>,
    /// None: it has ended.
    rest: Option<WasiBody>,
    /// Whether its length was known before.
    is_sized: bool,
}

impl Ahead {
    /// Takes what is there.
    pub(crate) fn of(mut body: WasiBody) -> Self {
        let is_sized = body.size_hint().exact().is_some();
        let mut taken = VecDeque::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut context) {
            let goes_on = matches!(frame, Some(Ok(_)));
            taken.extend(frame);
            if !goes_on {
                return Self { taken, rest: None, is_sized };
            }
        }
        Self { taken, rest: Some(body), is_sized }
    }

    /// Whether all of it was there.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The same, as any body.
    pub(crate) fn boxed(self) -> WasiBody {
        self.boxed_unsync()
    }
}

impl Body for Ahead {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.taken.pop_front() {
            return Poll::Ready(Some(frame));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(rest).poll_frame(context));
        if frame.is_none() {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if !self.is_sized {
            return SizeHint::default();
        }
        let data = self.taken.iter().flatten().filter_map(Frame::data_ref).map(|data| data.len() as u64);
        let rest = self.rest.as_ref().map_or(0, |rest| rest.size_hint().lower());
        SizeHint::with_exact(data.sum::<u64>() + rest)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderMap;
    use http_body_util::{Full, StreamBody};
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    /// A body of what is sent.
    fn sent() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, Error>>, WasiBody) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let frames = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        (sender, StreamBody::new(frames).boxed_unsync())
    }

    async fn texts(mut body: Ahead) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(frame) = body.frame().await {
            texts.push(match frame.map(Frame::into_data) {
                Ok(Ok(data)) => String::from_utf8(data.to_vec()).unwrap(),
                Ok(Err(_)) => "trailers".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        texts
    }

    #[tokio::test]
    async fn a_body_that_has_ended_is_whole_and_the_same() {
        let (sender, body) = sent();
        for frame in [data("a"), data("b"), Frame::trailers(HeaderMap::new())] {
            sender.send(Ok(frame)).unwrap();
        }
        drop(sender);
        let ahead = Ahead::of(body);
        assert!(ahead.is_whole() && !ahead.is_end_stream() && ahead.size_hint().exact().is_none());
        assert_eq!(texts(ahead).await, ["a", "b", "trailers"]);
    }

    #[tokio::test]
    async fn what_comes_later_follows_what_was_there() {
        let (sender, body) = sent();
        sender.send(Ok(data("a"))).unwrap();
        let ahead = Ahead::of(body);
        assert!(!ahead.is_whole());
        sender.send(Ok(data("b"))).unwrap();
        drop(sender);
        assert_eq!(texts(ahead).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_ends_so() {
        let (sender, body) = sent();
        sender.send(Ok(data("a"))).unwrap();
        sender.send(Err(Error::HttpResponseIncomplete)).unwrap();
        let ahead = Ahead::of(body);
        assert!(ahead.is_whole());
        let broken = Error::HttpResponseIncomplete.to_string();
        assert_eq!(texts(ahead).await, ["a", &broken]);
    }

    #[tokio::test]
    async fn a_length_that_was_known_stays_known_and_right() {
        let body = Full::new(Bytes::from_static(b"hello")).map_err(|never: Infallible| match never {});
        let mut ahead = Ahead::of(body.boxed_unsync());
        assert_eq!(ahead.size_hint().exact(), Some(5));
        ahead.frame().await.unwrap().unwrap();
        assert_eq!((ahead.size_hint().exact(), ahead.is_end_stream()), (Some(0), true));
    }

    #[tokio::test]
    async fn what_waits_is_left_and_what_panics_is_gone() {
        let here = Handle::current();
        for goes_on in [true, false] {
            let (sender, receiver) = oneshot::channel::<()>();
            let (done, mut is_done) = oneshot::channel();
            let waits = async move {
                receiver.await.unwrap();
                done.send(()).unwrap();
            };
            let left = run(waits.boxed(), &here).expect("it waits");
            if goes_on {
                sender.send(()).unwrap();
                left.go_on();
                is_done.try_recv().unwrap();
            } else {
                drop(left);
                sender.send(()).unwrap();
                is_done.await.unwrap();
            }
        }
        assert!(run(async {}.boxed(), &here).is_none());
        assert!(run(async { panic!("as a test expects") }.boxed(), &here).is_none());
        assert_eq!(DEPTH.get(), 0);
    }

    #[tokio::test]
    async fn only_so_many_run_inside_of_each_other() {
        fn deep(levels: usize) -> usize {
            if !is_possible(&Handle::current()) {
                return levels;
            }
            let (sender, mut receiver) = oneshot::channel();
            let deeper = async move { sender.send(deep(levels + 1)).unwrap() };
            assert!(run(deeper.boxed(), &Handle::current()).is_none());
            receiver.try_recv().unwrap()
        }
        assert_eq!(deep(0), DEEPEST);
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(!is_possible(other.handle()), "others' threads are not its own");
        other.shutdown_background();
    }
}
