//! A queue of keys: each key is handed to one worker at a time.
//!
//! ```text
//!            add                    next                 done
//!   (idle) -------> (ready) ----------------> (running) -------> (idle)
//!      ^               ^                          | add
//!      |  due          |          done            v
//!   (delayed) ---------+------------------- (running, again)
//! ```
//!
//! Guarantees: a key added while it runs runs again afterwards; a key added many times while it waits runs
//! once; of several delays of one key the shortest holds.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::{Backoff, Jitter};

const RETRY: Backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_mins(1) };

/// What a queue can hold.
pub(crate) trait QueueKey: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static {}

impl<T: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static> QueueKey for T {}

/// See the module's documentation.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
    jitter: Arc<Jitter>,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Keys that are ready, or that were added while they run.
    dirty: HashSet<T>,
    running: HashSet<T>,
    delayed: BTreeSet<(Instant, T)>,
    due: HashMap<T, Instant>,
    failures: HashMap<T, u32>,
}

impl<T: QueueKey> Queue<T> {
    pub(crate) fn new(jitter: Arc<Jitter>) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            running: HashSet::new(),
            delayed: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        Self { state: Mutex::new(state), wake: Notify::new(), jitter }
    }

    /// Asks for a run of this key as soon as possible.
    pub(crate) fn add(&self, key: T) {
        if self.state.lock().add(key) {
            self.wake.notify_one();
        }
    }

    /// Asks for a run of this key in a while.
    pub(crate) fn add_after(&self, key: T, delay: Duration) {
        self.state.lock().add_at(key, Instant::now() + delay);
        self.wake.notify_one();
    }

    /// Asks for another run after a failure, later with every failure in a row.
    pub(crate) fn retry(&self, key: T) {
        let mut state = self.state.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let delay = RETRY.delay(*failures, &self.jitter);
        state.add_at(key, Instant::now() + delay);
        drop(state);
        self.wake.notify_one();
    }

    /// Forgets the failures of a key that succeeded.
    pub(crate) fn forget(&self, key: &T) {
        self.state.lock().failures.remove(key);
    }

    /// Waits for the next key to run; [`Queue::done`] must follow.
    pub(crate) async fn next(&self) -> T {
        loop {
            let deadline = {
                let mut state = self.state.lock();
                state.promote(Instant::now());
                if let Some(key) = state.start() {
                    return key;
                }
                state.delayed.first().map(|(at, _)| *at)
            };
            match deadline {
                None => self.wake.notified().await,
                Some(at) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// Ends the run of a key.
    pub(crate) fn done(&self, key: &T) {
        if self.state.lock().done(key) {
            self.wake.notify_one();
        }
    }
}

impl<T: QueueKey> State<T> {
    /// Returns whether a key became ready.
    fn add(&mut self, key: T) -> bool {
        if !self.dirty.insert(key.clone()) || self.running.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn add_at(&mut self, key: T, at: Instant) {
        if let Some(earlier) = self.due.get(&key).copied() {
            if earlier <= at {
                return;
            }
            self.delayed.remove(&(earlier, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key));
    }

    fn promote(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }

    fn start(&mut self) -> Option<T> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// Returns whether the key became ready again.
    fn done(&mut self, key: &T) -> bool {
        self.running.remove(key);
        let again = self.dirty.contains(key);
        if again {
            self.ready.push_back(key.clone());
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<&'static str> {
        Queue::new(Arc::new(Jitter::new(1)))
    }

    async fn is_empty(queue: &Queue<&'static str>) -> bool {
        tokio::time::timeout(Duration::ZERO, queue.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_runs_once_however_often_it_was_added() {
        let queue = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        assert!(is_empty(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_run_runs_again_but_not_beside_it() {
        let queue = queue();
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert!(is_empty(&queue).await);
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(is_empty(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_delay_holds() {
        let queue = queue();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(9));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(5));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 2);
        queue.done(&"a");
        let more = tokio::time::timeout(Duration::from_mins(1), queue.next()).await;
        assert!(more.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_wait_longer_until_forgotten() {
        let queue = queue();
        let mut waited = Vec::new();
        for _ in 0..4 {
            let start = Instant::now();
            queue.retry("a");
            assert_eq!(queue.next().await, "a");
            queue.done(&"a");
            waited.push(start.elapsed());
        }
        assert!(waited[3] > waited[0] * 3, "{waited:?}");
        queue.forget(&"a");
        let start = Instant::now();
        queue.retry("a");
        queue.next().await;
        assert!(start.elapsed() < waited[1]);
    }
}
