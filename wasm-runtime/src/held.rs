//! How many sockets the instances of a container have open: those they made or accepted, and connections of their requests.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a container may have open.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    free: Arc<Semaphore>,
    limit: usize,
}

/// A container wanted more sockets than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {0} open sockets was reached")]
pub(crate) struct TooMany(usize);

impl Allowance {
    /// As many as `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(limit)), limit }
    }

    /// One of them; it is given back when dropped.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, TooMany> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| TooMany(self.limit))
    }
}

/// What one instance has open; it is given back with the instance at the latest.
#[derive(Clone, Debug)]
pub(crate) struct Held(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    allowance: Allowance,
    permits: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Held {
    /// Nothing of the allowance yet.
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self(Arc::new(Taken { allowance, permits: Mutex::default() }))
    }

    /// One more.
    pub(crate) fn take(&self) -> Result<(), TooMany> {
        self.0.permits.lock().push(self.0.allowance.take()?);
        Ok(())
    }

    /// Whether there may be one more.
    pub(crate) fn room(&self) -> Result<(), TooMany> {
        self.0.allowance.take().map(drop)
    }

    /// One less.
    pub(crate) fn give_back(&self) {
        self.0.permits.lock().pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_share_the_allowance_and_give_back() {
        let allowance = Allowance::new(2);
        let (one, other) = (Held::new(allowance.clone()), Held::new(allowance.clone()));
        one.take().unwrap();
        other.take().unwrap();
        assert_eq!((one.take(), one.room()), (Err(TooMany(2)), Err(TooMany(2))));
        other.give_back();
        one.room().unwrap();
        one.take().unwrap();
        assert!(allowance.take().is_err());
        drop(one);
        assert!(allowance.take().is_ok());
    }
}
