//! A watch: every event under a prefix after a revision, once and in order (S3).
//!
//! ```text
//!              channel still has all after `seen`
//!   ┌─────────────────────────────────────────────┐
//!   │                                             v
//! replaying (from the file) <──────────── following (from memory)
//!   │        channel dropped what comes next      │
//!   └──> ended <──────────────────────────────────┘
//!        history compacted, or store closed
//! ```
//!
//! The only state is `seen`, so both sources can be switched at any revision. A watch that is slow falls back to the
//! file, and ends with Compacted when history is compacted past it; it never holds back the writer.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use crate::disk::Replay;
use crate::entry::{Event, Revision};
use crate::error::WatchError;
use crate::hub::Channel;
use crate::shared::Shared;

/// How many events are taken from memory at once.
const BATCH: usize = 128;

/// Events under a prefix, in order. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    wake: Option<Receiver<()>>,
    /// Taken, not yet handed out.
    ready: VecDeque<Arc<Event>>,
    /// All events up to here were taken.
    seen: Revision,
    /// A reading of the file under way; kept here so that `next` can be dropped at any time.
    reading: Option<JoinHandle<Result<Replay, WatchError>>>,
    ended: bool,
}

/// What comes next.
enum Step {
    Ready,
    Wait,
    Read,
}

impl Watch {
    pub(crate) fn start(shared: &Arc<Shared>, prefix: &str, after: Revision) -> Result<Self, WatchError> {
        let (channel, wake) = shared.hub.join(prefix).ok_or(WatchError::Closed)?;
        let watch = Self {
            shared: Arc::clone(shared),
            channel,
            wake: Some(wake),
            ready: VecDeque::new(),
            seen: after,
            reading: None,
            ended: false,
        };
        shared.state_after(after)?;
        Ok(watch)
    }

    /// The next event, when there is one. An error is the last thing a watch says; `None` after it, or when the store
    /// was closed. Can be dropped and called again without losing an event. Needs a Tokio runtime.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, WatchError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            match self.take() {
                Step::Ready => {}
                Step::Wait => self.wait().await,
                Step::Read => {
                    if let Err(error) = self.read().await {
                        self.ended = true;
                        return if error == WatchError::Closed { None } else { Some(Err(error)) };
                    }
                }
            }
        }
    }

    /// The next event if it is at hand in memory.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        if self.ready.is_empty() && !self.ended && self.reading.is_none() {
            self.take();
        }
        self.ready.pop_front()
    }

    /// The revision up to which all events of this watch were handed out. Rises with writes elsewhere, too, so it can be
    /// told to a client as the place to resume from. While the watch still has to read the file, it rises only when
    /// [`Watch::next`] is polled.
    pub fn progress(&self) -> Revision {
        match self.ready.front() {
            Some(event) => event.revision - 1,
            None if self.reading.is_some() => self.seen,
            None => self.shared.hub.progress(&self.channel, self.seen),
        }
    }

    fn take(&mut self) -> Step {
        if self.reading.is_some() {
            return Step::Read;
        }
        if let Some(wake) = &mut self.wake {
            wake.borrow_and_update();
        }
        match self.shared.hub.after(&self.channel, self.seen, BATCH) {
            Some(events) => match events.last() {
                Some(last) => {
                    self.seen = last.revision;
                    self.ready.extend(events);
                    Step::Ready
                }
                None => Step::Wait,
            },
            None => Step::Read,
        }
    }

    async fn wait(&mut self) {
        let open = match &mut self.wake {
            Some(wake) => wake.changed().await.is_ok(),
            None => false,
        };
        if !open && self.wake.take().is_none() {
            // The second time round: what was published before the close has been taken.
            self.ended = true;
        }
    }

    async fn read(&mut self) -> Result<(), WatchError> {
        let reading = self.reading.get_or_insert_with(|| {
            let (shared, channel, after) = (Arc::clone(&self.shared), Arc::clone(&self.channel), self.seen);
            tokio::task::spawn_blocking(move || {
                shared.disk.replay(channel.prefix(), after, &shared.options.extractor)
            })
        });
        let replay = reading.await;
        self.reading = None;
        let replay = replay.map_err(|_| WatchError::Closed)??;
        self.seen = replay.through;
        self.ready.extend(replay.events);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.hub.leave(&self.channel);
    }
}
