//! The epoch ticker: what makes a guest that computes give way.
//!
//! A store yields to the executor when its engine's epoch advances; there its future can be dropped, which ends the
//! guest, or others get their turn. One thread advances the epoch, and only while some guest is being polled: an idle
//! runtime does not wake up.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, Store, UpdateDeadline};

/// How long a guest may compute without giving way.
const TICK: Duration = Duration::from_millis(5);

thread_local! {
    /// Whoever polls a guest learns here why it gave way: a guest and the callbacks of its store know nobody else in common.
    static INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug, Default)]
struct Shared {
    polled: AtomicUsize,
    parked: AtomicBool,
    stopping: AtomicBool,
}

/// Owns the thread; the thread ends after the ticker was dropped and the last guest was polled.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread that ticks for all `engines`.
    pub(crate) fn start(engines: [Engine; 2]) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wasm-epoch".into()).spawn(move || tick(&engines, &seen))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Wraps the future in which a guest runs.
    pub(crate) fn attend<F: Future + Unpin>(self: &Arc<Self>, future: F) -> Attended<F> {
        Attended { ticker: Arc::clone(self), future }
    }

    fn enter(&self) {
        self.shared.polled.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    fn leave(&self) {
        self.shared.polled.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engines: &[Engine], shared: &Shared) {
    loop {
        if shared.polled.load(Ordering::SeqCst) > 0 {
            thread::park_timeout(TICK);
            for engine in engines {
                engine.increment_epoch();
            }
            continue;
        }
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        shared.parked.store(true, Ordering::SeqCst);
        // Whoever enters after this check sees `parked` and leaves a token that ends the park.
        if shared.polled.load(Ordering::SeqCst) == 0 {
            thread::park();
        }
        shared.parked.store(false, Ordering::SeqCst);
    }
}

/// Lets the guest of `store` compute for at most two ticks from now.
pub(crate) fn begin<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(2);
}

/// Lets the guest of `store` compute for at most two ticks at a time.
pub(crate) fn give_way<T>(store: &mut Store<T>) {
    begin(store);
    store.epoch_deadline_callback(|_| {
        INTERRUPTED.set(true);
        Ok(UpdateDeadline::YieldCustom(2, Box::pin(tokio::task::yield_now())))
    });
}

/// Whether a guest was made to give way on this thread since somebody last asked.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.take()
}

/// A future during whose polls the epoch advances.
pub(crate) struct Attended<F> {
    ticker: Arc<Ticker>,
    future: F,
}

impl<F: Future + Unpin> Future for Attended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        struct Leave<'a>(&'a Ticker);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }

        let this = &mut *self;
        this.ticker.enter();
        let _leave = Leave(&this.ticker);
        Pin::new(&mut this.future).poll(context)
    }
}
