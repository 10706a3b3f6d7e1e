//! Requests that a guest has under way, driven by whoever runs the guest, in the same task: it goes on as soon as one of them has its response,
//! and nobody else has to wake up for that.
//!
//! Guarantees: a request goes on whenever its guest waits, for whatever that is, and after the guest has ended as long as somebody
//! wants its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::Request;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{RequestOptions, WasiBody};

use crate::handler::Answered;
use crate::outgoing::Outgoing;

type Sending = BoxFuture<'static, ()>;

/// Where a guest leaves what is to be driven; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<Sending>>>);

/// Sends a request until it has its response or nobody wants that any more. Where nobody drives it, it is a task.
pub(crate) fn send(
    outgoing: &Outgoing,
    driven: Option<&Requests>,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> oneshot::Receiver<Answered> {
    let (mut sender, receiver) = oneshot::channel();
    let outgoing = outgoing.clone();
    let sending = Box::pin(async move {
        let answered = tokio::select! {
            biased;
            answered = outgoing.send(request, options) => answered,
            () = sender.closed() => return,
        };
        // Whoever asked may be gone.
        let _ = sender.send(answered);
    });
    match driven {
        Some(requests) => requests.0.lock().push(sending),
        None => drop(Handle::current().spawn(sending)),
    }
    receiver
}

/// A guest beside its requests.
pub(crate) struct Driven<F> {
    guest: F,
    requests: Requests,
    under_way: FuturesUnordered<Sending>,
}

impl<F: Future + Unpin> Driven<F> {
    /// Of a guest whose store has these requests.
    pub(crate) fn new(guest: F, requests: Requests) -> Self {
        Self { guest, requests, under_way: FuturesUnordered::new() }
    }

    /// Takes what the guest has asked for since.
    fn take(&mut self) {
        self.under_way.extend(self.requests.0.lock().drain(..));
    }

    /// Those whose responses nobody wants any more end. Others are an instance's that may look for them when it answers again.
    fn leave(&mut self, context: &mut Context<'_>) {
        self.take();
        while let Poll::Ready(Some(())) = self.under_way.poll_next_unpin(context) {}
        if !self.under_way.is_empty() {
            let left = std::mem::take(&mut self.under_way);
            drop(Handle::current().spawn(left.collect::<()>()));
        }
    }
}

impl<F: Future + Unpin> Future for Driven<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(output) = Pin::new(&mut this.guest).poll(context) {
                this.leave(context);
                return Poll::Ready(output);
            }
            this.take();
            // Only what is done may be what the guest waits for.
            let Poll::Ready(Some(())) = this.under_way.poll_next_unpin(context) else { return Poll::Pending };
        }
    }
}
