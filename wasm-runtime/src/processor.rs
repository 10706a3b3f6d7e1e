//! The processor time that the guests of a container take.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use rustix::time::{ClockId, clock_gettime};

/// Counts the time of one container.
#[derive(Debug, Default)]
pub(crate) struct Processor(AtomicU64);

impl Processor {
    /// Nanoseconds until now; of guests that compute at the moment, until they last gave way.
    pub(crate) fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts the time in which `future` is polled.
    pub(crate) fn count<F: Future>(self: &Arc<Self>, future: F) -> Counted<F> {
        Counted { processor: Arc::clone(self), future: Box::pin(future) }
    }
}

/// A future whose time is counted.
pub(crate) struct Counted<F> {
    processor: Arc<Processor>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let before = of_thread();
        let polled = this.future.as_mut().poll(context);
        this.processor.0.fetch_add(of_thread().saturating_sub(before), Ordering::Relaxed);
        polled
    }
}

/// The processor time of this thread, in nanoseconds.
fn of_thread() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = |count: i64| u64::try_from(count).unwrap_or(0);
    nanos(time.tv_sec) * 1_000_000_000 + nanos(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let processor = Arc::new(Processor::default());
        processor.count(tokio::time::sleep(std::time::Duration::from_millis(50))).await;
        let waited = processor.nanos();
        assert!(waited < 40_000_000, "{waited}");
        let compute = async {
            let began = of_thread();
            while of_thread() - began < 5_000_000 {}
        };
        processor.count(compute).await;
        assert!(processor.nanos() - waited >= 5_000_000);
    }
}
