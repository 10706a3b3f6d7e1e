//! Instances of a server that wait for a request, so that a request finds one: new ones made ahead, or, where a Pod asks for it,
//! used ones.
//!
//! What a used one keeps from one request to the next is its own memory: nobody but later requests of the same
//! container sees it. One that failed, was interrupted or left a body unfinished is not used again. Instances that wait hold
//! places of the node's pool, but never more than a quarter of them together; nobody waits for long without a request. With
//! those that answer there are never more than requests may be served at a time: a new one is made by who has just
//! given back an instance, and still holds the leave for one.

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Time, sleep};
use tokio_util::task::TaskTracker;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

use crate::guest::Guest;
use crate::{executor, ticker};

/// One instance of a server.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    pub(crate) proxy: Proxy,
    /// How many requests it was given.
    pub(crate) answered: u32,
    /// Its place in the node's pool.
    slot: OwnedSemaphorePermit,
}

impl Instance {
    /// One that has answered nothing yet.
    pub(crate) fn new(store: Store<Guest>, proxy: Proxy, slot: OwnedSemaphorePermit) -> Self {
        Self { store, proxy, answered: 0, slot }
    }

    /// Its store, and what has to be held as long as that is there.
    pub(crate) fn parts(self) -> (Store<Guest>, OwnedSemaphorePermit) {
        (self.store, self.slot)
    }
}

/// Where the next request is answered.
pub(crate) enum Place {
    /// By an instance that is there.
    Taken(Box<Instance>),
    /// By a new one.
    Free(OwnedSemaphorePermit),
}

/// Leave to let one more instance wait.
pub(crate) struct Leave {
    _places: OwnedSemaphorePermit,
}

/// The instances of one container that wait.
pub(crate) struct Spares {
    /// How many requests each may answer.
    requests: NonZeroU32,
    /// The places each has in the node's pool.
    places: u32,
    /// How long one waits; it is gone after twice that.
    idle: Duration,
    /// What all containers of the node may let wait.
    allowed: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Waiting {
    /// The last is the one that came last.
    instances: Vec<Kept>,
    /// Whether somebody looks after them.
    attended: bool,
}

struct Kept {
    instance: Box<Instance>,
    since: Time,
    _leave: Leave,
}

impl Spares {
    /// Of instances that answer so many requests each, take so many places and wait so long; all that are `allowed` are shared
    /// with others.
    pub(crate) fn new(
        requests: NonZeroU32,
        places: u32,
        idle: Duration,
        allowed: Arc<Semaphore>,
    ) -> Arc<Self> {
        let (waiting, tasks) = (Mutex::default(), TaskTracker::new());
        Arc::new(Self { requests, places, idle, allowed, waiting, tasks })
    }

    /// One that waits, ready for a request.
    pub(crate) fn take(&self) -> Option<Box<Instance>> {
        let mut kept = self.waiting.lock().instances.pop()?;
        ticker::begin(&mut kept.instance.store);
        Some(kept.instance)
    }

    /// Whether instances answer more than one request.
    pub(crate) fn are_used_again(&self) -> bool {
        self.requests.get() > 1
    }

    /// Whether it may answer more.
    pub(crate) fn answers_again(&self, instance: &Instance) -> bool {
        instance.answered < self.requests.get()
    }

    /// Leave for one that is to be made ahead: as many wait as there are threads that answer.
    pub(crate) fn leave_ahead(&self) -> Option<Leave> {
        if self.waiting.lock().instances.len() < executor::threads() { self.leave() } else { None }
    }

    /// Leave for one that is there.
    pub(crate) fn leave(&self) -> Option<Leave> {
        let places = Arc::clone(&self.allowed).try_acquire_many_owned(self.places).ok()?;
        Some(Leave { _places: places })
    }

    /// Lets it wait for its next request.
    pub(crate) fn keep(self: &Arc<Self>, instance: Box<Instance>, leave: Leave) {
        let mut waiting = self.waiting.lock();
        waiting.instances.push(Kept { instance, since: Time::now(), _leave: leave });
        if !std::mem::replace(&mut waiting.attended, true) {
            self.tasks.spawn(attend(Arc::downgrade(self), self.idle));
        }
    }

    /// Ends those that waited too long; whether some are left.
    fn expire(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let fresh = waiting.instances.partition_point(|kept| kept.since.elapsed() >= self.idle);
        let expired: Vec<_> = waiting.instances.drain(..fresh).collect();
        waiting.attended = !waiting.instances.is_empty();
        let left = waiting.attended;
        drop(waiting);
        drop(expired);
        left
    }
}

/// Looks after them while there are some.
async fn attend(spares: Weak<Spares>, idle: Duration) {
    loop {
        sleep(idle).await;
        let Some(spares) = spares.upgrade() else { return };
        if !spares.expire() {
            return;
        }
    }
}
