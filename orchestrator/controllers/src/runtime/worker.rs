//! Runs one controller: takes keys from its queue and reconciles them, several keys side by side.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::error::ReconcileError;
use super::life::Life;
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

impl Next {
    /// This, or after a time if that is sooner.
    pub(crate) fn sooner(self, delay: Duration) -> Self {
        match self {
            Self::OnChange => Self::After(delay),
            Self::After(other) => Self::After(other.min(delay)),
        }
    }
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

    /// Enqueues keys for what no watch of the API tells; runs beside the reconciles.
    fn wake(&self, _queue: &Queue<Self::Key>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Brings what belongs to `key` nearer to what is wanted.
    fn reconcile(&self, key: &Self::Key) -> impl Future<Output = Result<Next, ReconcileError>> + Send;
}

/// Runs a controller until its life is over, then lets the keys that run finish.
pub(crate) async fn work<C: Controller>(controller: C, queue: Arc<Queue<C::Key>>, life: Life) {
    let controller = Arc::new(controller);
    let mut running = JoinSet::new();
    let waking = async {
        controller.wake(&queue).await;
        std::future::pending::<()>().await;
    };
    let mut waking = std::pin::pin!(waking);
    tokio::select! {
        biased;
        () = life.over().cancelled() => return,
        () = controller.ready() => {}
    }
    loop {
        tokio::select! {
            biased;
            () = life.over().cancelled() => break,
            () = &mut waking => {}
            Some(ended) = running.join_next() => report(&life, ended),
            key = queue.next(), if running.len() < PARALLEL => {
                running.spawn(run_one(controller.clone(), queue.clone(), key));
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        report(&life, ended);
    }
}

async fn run_one<C: Controller>(controller: Arc<C>, queue: Arc<Queue<C::Key>>, key: C::Key) {
    // A run that panics must not leave its key marked as running, nor undone.
    let mut guard = Running { queue: &queue, key: &key, ended: false };
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
    guard.ended = true;
}

struct Running<'a, T: QueueKey> {
    queue: &'a Queue<T>,
    key: &'a T,
    ended: bool,
}

impl<T: QueueKey> Drop for Running<'_, T> {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.retry(self.key.clone());
        }
        self.queue.done(self.key);
    }
}

fn report(life: &Life, ended: Result<(), tokio::task::JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        life.report(&*panic);
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::runtime::backoff::Jitter;

    #[derive(Clone, Default)]
    struct PanicsOnce(Arc<Mutex<Vec<&'static str>>>);

    impl Controller for PanicsOnce {
        const NAME: &'static str = "test-controller";
        type Key = &'static str;

        fn new(_: &Context, _: &Arc<Queue<Self::Key>>) -> Self {
            Self::default()
        }

        async fn reconcile(&self, key: &Self::Key) -> Result<Next, ReconcileError> {
            let mut runs = self.0.lock();
            runs.push(*key);
            let is_first = runs.iter().filter(|run| *run == key).count() == 1;
            drop(runs);
            assert!(*key != "bad" || !is_first, "a planted panic");
            Ok(Next::OnChange)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_is_tried_again_and_holds_up_no_other() {
        let queue = Arc::new(Queue::new(Arc::new(Jitter::new(1))));
        let (controller, over) = (PanicsOnce::default(), CancellationToken::new());
        let life = Life::new(PanicsOnce::NAME, over.clone(), None);
        queue.add("bad");
        queue.add("good");
        let mut tasks = JoinSet::new();
        tasks.spawn(work(controller.clone(), queue, life.clone()));
        tokio::time::sleep(Duration::from_secs(5)).await;
        over.cancel();
        tasks.join_all().await;
        assert_eq!(*controller.0.lock(), ["bad", "good", "bad"]);
    }
}
