//! The processor time of a container: what its guests took, and when they may take more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use wherry_runtime_api::Resources;

use crate::bandwidth::Quota;
use crate::ticker;
use crate::turns::{Turn, Turns};

/// A container that took this much in a period takes turns for all it does while others compute for long.
const MUCH: u64 = 10_000_000;
/// The weight of one processor, and the least there is, as of cgroups.
const SHARES: u64 = 1024;
const LEAST_SHARES: u64 = 2;

/// The processor time of one container.
#[derive(Debug)]
pub(crate) struct Processor {
    turns: Arc<Turns>,
    nanos: AtomicU64,
    /// Its weight against others.
    shares: AtomicU64,
    /// What it had of turns, for its weight.
    virtual_time: AtomicU64,
    /// What it may take, and what all containers of its Pod may take together.
    quota: Quota,
    of_pod: Arc<Quota>,
}

impl Processor {
    /// Of a container with these limits, in a Pod with this quota.
    pub(crate) fn new(turns: Arc<Turns>, limits: &Resources, of_pod: Arc<Quota>) -> Arc<Self> {
        Arc::new(Self {
            turns,
            nanos: AtomicU64::new(0),
            shares: AtomicU64::new(shares(limits.cpu_request_millis)),
            virtual_time: AtomicU64::new(0),
            quota: Quota::new(limits.cpu_limit_millis),
            of_pod,
        })
    }

    /// Changes request and limit, from now on.
    pub(crate) fn set(&self, limits: &Resources) {
        self.shares.store(shares(limits.cpu_request_millis), Ordering::Relaxed);
        self.quota.set(limits.cpu_limit_millis);
    }

    /// Nanoseconds until now; of guests that compute at the moment, until they last gave way.
    pub(crate) fn nanos(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed)
    }

    /// What it had of turns, for its weight.
    pub(crate) fn virtual_time(&self) -> u64 {
        self.virtual_time.load(Ordering::Relaxed)
    }

    /// It has no claim to turns of before this virtual time.
    pub(crate) fn come_to(&self, reached: u64) {
        self.virtual_time.fetch_max(reached, Ordering::Relaxed);
    }

    /// It computed for `nanos` in its turn.
    pub(crate) fn charge(&self, nanos: u64) {
        let weighted = nanos.saturating_mul(SHARES) / self.shares.load(Ordering::Relaxed);
        self.virtual_time.fetch_add(weighted, Ordering::Relaxed);
    }

    /// Runs a guest, which is `future`: counts the time in which it is polled, and polls it when it may compute.
    pub(crate) fn count<F: Future>(self: &Arc<Self>, future: F) -> Counted<F> {
        Counted { processor: Arc::clone(self), future: Box::pin(future), waits: Waits::Not }
    }

    fn spend(&self, nanos: u64) {
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        let now = now(ClockId::Monotonic);
        self.quota.spend(now, nanos);
        self.of_pod.spend(now, nanos);
    }

    /// What a guest of it has to wait for. One that was interrupted, because it did not give way by itself, goes on in turns.
    fn wait(self: &Arc<Self>, interrupted: bool) -> Waits {
        let limited = self.quota.is_limited() || self.of_pod.is_limited();
        if !interrupted && !self.turns.contended() && !limited {
            return Waits::Not;
        }
        let now = now(ClockId::Monotonic);
        if let Some(wait) = self.quota.wait(now).max(self.of_pod.wait(now)) {
            return Waits::Budget { end: Box::pin(sleep(wait)), interrupted };
        }
        if interrupted || self.turns.contended() && self.quota.spent(now) > MUCH {
            return Waits::Turn(self.turns.ask(self));
        }
        Waits::Not
    }
}

fn shares(request_millis: Option<u64>) -> u64 {
    (request_millis.unwrap_or(0).saturating_mul(SHARES) / 1000).max(LEAST_SHARES)
}

/// What a guest waits for before it computes.
enum Waits {
    /// Nothing: it may be polled.
    Not,
    /// The next period; then, if it was interrupted, for its turn.
    Budget { end: Pin<Box<Sleep>>, interrupted: bool },
    /// Its turn.
    Turn(oneshot::Receiver<Turn>),
}

/// A guest whose time is counted.
pub(crate) struct Counted<F> {
    processor: Arc<Processor>,
    future: Pin<Box<F>>,
    waits: Waits,
}

impl<F: Future> Counted<F> {
    /// Waits until it may compute: for the budgets of its container and its Pod first, so that nobody holds a turn and cannot use it.
    fn poll_admitted(&mut self, context: &mut Context<'_>) -> Poll<Option<Turn>> {
        loop {
            let interrupted = match &mut self.waits {
                Waits::Turn(turn) => {
                    let turn = ready!(Pin::new(turn).poll(context));
                    self.waits = Waits::Not;
                    return Poll::Ready(turn.ok());
                }
                Waits::Budget { end, interrupted } => {
                    ready!(end.as_mut().poll(context));
                    *interrupted
                }
                Waits::Not => false,
            };
            self.waits = self.processor.wait(interrupted);
            if matches!(self.waits, Waits::Not) {
                return Poll::Ready(None);
            }
        }
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let turn = ready!(this.poll_admitted(context));
        let before = now(ClockId::ThreadCPUTime);
        let polled = this.future.as_mut().poll(context);
        let took = now(ClockId::ThreadCPUTime).saturating_sub(before);
        this.processor.spend(took);
        if turn.is_some() {
            this.processor.charge(took);
        }
        // It asks before its own turn goes on to another: it may be the one whom that is due to.
        if ticker::interrupted() && polled.is_pending() {
            this.waits = this.processor.wait(true);
        }
        polled
    }
}

/// Nanoseconds of a clock: of this thread's processor time, or of the time since the machine started.
fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let nanos = |count: i64| u64::try_from(count).unwrap_or(0);
    nanos(time.tv_sec) * 1_000_000_000 + nanos(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn container(limit_millis: Option<u64>, of_pod: &Arc<Quota>) -> Arc<Processor> {
        let limits = Resources { cpu_limit_millis: limit_millis, ..Resources::default() };
        Processor::new(Turns::new(1), &limits, Arc::clone(of_pod))
    }

    fn compute(nanos: u64) {
        let began = now(ClockId::ThreadCPUTime);
        while now(ClockId::ThreadCPUTime) - began < nanos {}
    }

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let processor = container(None, &Arc::default());
        processor.count(sleep(Duration::from_millis(50))).await;
        let waited = processor.nanos();
        assert!(waited < 40_000_000, "{waited}");
        processor.count(async { compute(5_000_000) }).await;
        assert!(processor.nanos() - waited >= 5_000_000);
    }

    #[tokio::test]
    async fn who_used_up_the_budget_waits_and_who_has_another_goes_on() {
        let (limited, other) = (container(Some(50), &Arc::default()), container(None, &Arc::default()));
        let slices = async |processor: &Arc<Processor>, count| {
            let began = now(ClockId::Monotonic);
            let guest = async {
                for _ in 0..count {
                    compute(5_000_000);
                    tokio::task::yield_now().await;
                }
            };
            processor.count(guest).await;
            now(ClockId::Monotonic) - began
        };
        let (slow, _) = tokio::join!(slices(&limited, 3), slices(&other, 3));
        // Of 5 ms in each period, three took the rest of the first, the whole second, and began in the third.
        assert!(slow >= 100_000_000, "{slow}");
    }

    #[test]
    fn requests_are_weights_as_of_cgroups() {
        assert_eq!([None, Some(0), Some(1), Some(500), Some(2000)].map(shares), [2, 2, 2, 512, 2048]);
    }
}
