//! The lives of a controller: it is started again when it panics, and the others do not notice.
//!
//! ```text
//!   start -> (lives) -- shutdown -----------------> (over)
//!              ^   \--- panic ----> (reported, waits) --+
//!              +------------------------------------+
//! ```
//!
//! Guarantees: a panic in a handler or in the controller's loop ends one life; the next begins with a new queue and
//! new state, and hears of every object there is as if it had just appeared. A panic while one key is reconciled ends
//! that run alone; the key is tried again later.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::backoff::Backoff;
use super::queue::Queue;
use super::recorder::{Notice, Recorder, Severity};
use super::worker::{Controller, work};
use crate::context::Context;

const RETRY: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_mins(1) };

/// A controller that lived this long is not failing in a row.
const LONG: Duration = Duration::from_mins(5);

/// One life of one controller.
#[derive(Clone)]
pub(crate) struct Life {
    controller: &'static str,
    over: CancellationToken,
    /// Where panics are told, besides the log.
    tell: Option<Recorder>,
}

impl Life {
    pub(crate) fn new(controller: &'static str, over: CancellationToken, tell: Option<Recorder>) -> Self {
        Self { controller, over, tell }
    }

    /// Cancelled when this life ends.
    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Calls a handler of the controller; a panic ends this life and goes no further.
    pub(crate) fn call(&self, handler: impl FnOnce()) {
        if self.is_over() {
            return;
        }
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(handler)) {
            self.report(&*panic);
            self.over.cancel();
        }
    }

    /// Tells of a panic.
    pub(crate) fn report(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        error!(controller = self.controller, panic = text, "a controller panicked");
        if let Some(recorder) = &self.tell {
            let about = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Namespace".to_owned()),
                name: Some("kube-system".to_owned()),
                namespace: Some("kube-system".to_owned()),
                ..ObjectReference::default()
            };
            let message = format!("{} panicked and is started again: {text}", self.controller);
            let component = self.controller;
            let reason = "ControllerPanicked";
            recorder.event(about, Notice { component, severity: Severity::Warning, reason, message });
        }
    }
}

/// Runs a controller until shutdown, one life after the other.
pub(crate) async fn supervise<C: Controller>(context: Context) {
    let shutdown = context.life.over().clone();
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let life = Life::new(C::NAME, shutdown.child_token(), Some(context.recorder.clone()));
        if let Err(panic) = AssertUnwindSafe(live::<C>(&context, &life)).catch_unwind().await {
            life.report(&*panic);
        }
        life.over.cancel();
        failures = if began.elapsed() > LONG { 1 } else { failures + 1 };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY.delay(failures, &context.jitter)) => {}
        }
    }
}

async fn live<C: Controller>(context: &Context, life: &Life) {
    let queue = Arc::new(Queue::new(context.jitter.clone()));
    let controller = C::new(&context.of_life(life), &queue);
    work(controller, queue, life.clone()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_handler_ends_one_life() {
        let all = CancellationToken::new();
        let [one, other] = ["one", "other"].map(|name| Life::new(name, all.child_token(), None));
        one.call(|| panic!("a planted panic"));
        assert!(one.is_over());
        let mut called = false;
        one.call(|| called = true);
        assert!(!called, "what is over is not called any more");
        other.call(|| called = true);
        assert!(called && !other.is_over() && !all.is_cancelled());
    }
}
