//! The writes under way: at most so many at once, bindings before all others.
//!
//! Many writes at once cost the API server hardly more than one, since it makes them durable together; still they are
//! bounded, so that a burst of Pods does not become a burst of memory there.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};

/// How many writes may be under way.
const AT_ONCE: usize = 256;

type Write<T> = BoxFuture<'static, T>;

/// See the module's documentation. `T` is how a write ends.
pub(crate) struct Writes<T> {
    running: JoinSet<T>,
    bindings: VecDeque<Write<T>>,
    others: VecDeque<Write<T>>,
}

impl<T: Send + 'static> Writes<T> {
    pub(crate) fn new() -> Self {
        Self { running: JoinSet::new(), bindings: VecDeque::new(), others: VecDeque::new() }
    }

    /// Writes a binding.
    pub(crate) fn bind(&mut self, write: impl Future<Output = T> + Send + 'static) {
        self.bindings.push_back(Box::pin(write));
        self.start();
    }

    /// Writes something else.
    pub(crate) fn write(&mut self, write: impl Future<Output = T> + Send + 'static) {
        self.others.push_back(Box::pin(write));
        self.start();
    }

    /// A write that has ended, if there is one.
    pub(crate) fn try_ended(&mut self) -> Option<Result<T, JoinError>> {
        let ended = self.running.try_join_next();
        self.start();
        ended
    }

    /// The next write to end; nothing if none is under way. A call that is given up loses nothing.
    pub(crate) async fn ended(&mut self) -> Option<Result<T, JoinError>> {
        let ended = self.running.join_next().await;
        self.start();
        ended
    }

    fn start(&mut self) {
        while self.running.len() < AT_ONCE {
            let Some(write) = self.bindings.pop_front().or_else(|| self.others.pop_front()) else { return };
            self.running.spawn(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn bindings_go_first_and_not_all_at_once() {
        let gate = Arc::new(Semaphore::new(0));
        let mut writes = Writes::new();
        let wait = |number: usize| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                number
            }
        };
        for number in 0..AT_ONCE + 2 {
            writes.write(wait(number));
        }
        writes.bind(wait(1_000));
        assert_eq!((writes.running.len(), writes.others.len(), writes.bindings.len()), (AT_ONCE, 2, 1));
        gate.add_permits(1);
        writes.ended().await.unwrap().unwrap();
        assert_eq!((writes.running.len(), writes.others.len(), writes.bindings.len()), (AT_ONCE, 2, 0));
        gate.add_permits(AT_ONCE + 2);
        let mut count = 1;
        while let Some(ended) = writes.ended().await {
            ended.unwrap();
            count += 1;
        }
        assert_eq!(count, AT_ONCE + 3);
    }
}
