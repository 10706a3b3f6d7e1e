//! How a store is set up.

use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::seal::Seal;

/// Finds the attributes of a value. Called once for each write, on the writer's thread, and once for each key when the
/// store is opened; again for a version that a watch replays from the file. Must be pure and must not panic.
pub type Extractor = Arc<dyn Fn(&str, &[u8]) -> Attributes + Send + Sync>;

/// The time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Who carries transactions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterTask {
    /// A thread of the store's own, which carries out together what waits.
    Thread,
    /// Whoever hands a transaction over, before the call returns. For simulations, whose events must not depend on how the
    /// machine divides its time; it blocks its caller for the time of a commit.
    Caller,
}

/// How a store is set up. [`Options::new`] gives values for a small cluster.
#[derive(Clone)]
pub struct Options {
    /// Finds the attributes of a value.
    pub extractor: Extractor,
    /// The time.
    pub clock: Clock,
    /// Seals values on disk; nobody unless it is set.
    pub seal: Option<Arc<dyn Seal>>,
    /// How many recent events are kept in memory for watches and lists at older revisions.
    pub event_window: usize,
    /// How many bytes the kept events may take, roughly.
    pub event_window_bytes: usize,
    /// How many revisions of history are kept for watches.
    pub retain_revisions: u64,
    /// How long history is kept for watches. Counted from opening for what was there then.
    pub retain_age: Duration,
    /// The longest that a lazy write stays in memory only.
    pub lazy_interval: Duration,
    /// After this long without writes, the file is left in a state that reopens fast after a crash.
    pub settle_interval: Duration,
    /// How many transactions one commit may carry.
    pub max_batch: usize,
    /// Who carries transactions out.
    pub writer: WriterTask,
    /// Memory for the file's pages. Small, because reads are answered from the state in memory.
    pub page_cache_bytes: usize,
}

impl Options {
    /// Options for a small cluster.
    pub fn new(extractor: Extractor, clock: Clock) -> Self {
        Self {
            extractor,
            clock,
            seal: None,
            event_window: 2048,
            event_window_bytes: 8 << 20,
            retain_revisions: 10_000,
            retain_age: Duration::from_mins(5),
            lazy_interval: Duration::from_secs(5),
            settle_interval: Duration::from_secs(2),
            max_batch: 512,
            writer: WriterTask::Thread,
            page_cache_bytes: 4 << 20,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("event_window", &self.event_window)
            .field("retain_revisions", &self.retain_revisions)
            .field("retain_age", &self.retain_age)
            .field("lazy_interval", &self.lazy_interval)
            .finish_non_exhaustive()
    }
}
