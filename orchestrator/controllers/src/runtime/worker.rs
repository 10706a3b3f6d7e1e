//! Runs one controller: takes keys from its queue and reconciles them, several keys side by side.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::error::ReconcileError;
use super::queue::{Queue, QueueKey};
use crate::context::Context;

/// How many keys of one controller may run side by side.
const PARALLEL: usize = 8;

/// When to look at a key again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something changes.
    OnChange,
    /// After this time, if nothing changes before.
    After(Duration),
}

/// A reconcile loop.
pub(crate) trait Controller: Send + Sync + Sized + 'static {
    /// Its name in logs.
    const NAME: &'static str;
    /// What its queue holds.
    type Key: QueueKey;

    /// Builds the controller and registers what shall wake it.
    fn new(context: &Context, queue: &Arc<Queue<Self::Key>>) -> Self;

    /// Waits for what the controller needs besides the filled caches.
    fn ready(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Brings what belongs to `key` nearer to what is wanted.
    fn reconcile(&self, key: &Self::Key) -> impl Future<Output = Result<Next, ReconcileError>> + Send;
}

/// Runs a controller until shutdown, then lets the keys that run finish.
pub(crate) async fn work<C: Controller>(
    controller: C,
    queue: Arc<Queue<C::Key>>,
    shutdown: CancellationToken,
) {
    let controller = Arc::new(controller);
    let mut running = JoinSet::new();
    tokio::select! {
        () = shutdown.cancelled() => return,
        () = controller.ready() => {}
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = running.join_next() => report::<C>(ended),
            key = queue.next(), if running.len() < PARALLEL => {
                running.spawn(run_one(controller.clone(), queue.clone(), key));
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        report::<C>(ended);
    }
}

async fn run_one<C: Controller>(controller: Arc<C>, queue: Arc<Queue<C::Key>>, key: C::Key) {
    // A run that panics must not leave its key marked as running.
    let guard = Running { queue: &queue, key: &key };
    match controller.reconcile(&key).await {
        Ok(next) => {
            queue.forget(&key);
            if let Next::After(delay) = next {
                queue.add_after(key.clone(), delay);
            }
        }
        Err(error) => {
            if error.is_stale() {
                debug!(controller = C::NAME, ?key, "what was seen is out of date");
            } else {
                warn!(
                    controller = C::NAME,
                    ?key,
                    error = &error as &dyn std::error::Error,
                    "reconcile failed"
                );
            }
            queue.retry(key.clone());
        }
    }
    drop(guard);
}

struct Running<'a, T: QueueKey> {
    queue: &'a Queue<T>,
    key: &'a T,
}

impl<T: QueueKey> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.queue.done(self.key);
    }
}

fn report<C: Controller>(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(controller = C::NAME, error = &error as &dyn std::error::Error, "reconcile ended abnormally");
    }
}
