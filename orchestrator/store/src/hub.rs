//! Recent events in memory, handed to watches.
//!
//! There is one ring of the latest events, and for each watched prefix a *channel*: the part of the ring that is under
//! the prefix, shared by all watches of it, and a wake-up. A watch is only a revision into its channel, so an idle one
//! costs nothing, publishing costs nothing for each watch, and a slow watch holds nothing back: when it finds that its
//! channel has dropped what it needs, it continues from the file.
//!
//! A channel drops an event exactly when the ring does, and whole revisions at a time. Events that are not on disk yet
//! are never dropped, so ring and file together always cover the history without a hole.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::entry::{Event, Revision};
use crate::snapshot::Snapshot;

/// What bounds the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Recent events under one prefix.
#[derive(Debug)]
pub(crate) struct Channel {
    prefix: Arc<str>,
    recent: RwLock<Recent>,
}

/// A run of events without a hole: all later than `floor` that belong.
#[derive(Debug)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    /// The last revision of which something was dropped.
    floor: Revision,
}

#[derive(Debug)]
pub(crate) struct Hub {
    window: Window,
    /// The last revision of which all events are in their channels. A watch takes nothing later, so that it never
    /// takes half of a transaction.
    visible: AtomicU64,
    /// The published state. Changed only with `inner` locked.
    current: RwLock<Snapshot>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ring: Recent,
    weight: usize,
    channels: HashMap<Arc<str>, Slot>,
    /// How many channels there are with a prefix of each length: which starts of a key to look up.
    lengths: BTreeMap<usize, usize>,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    channel: Arc<Channel>,
    wake: watch::Sender<()>,
}

impl Recent {
    /// The events after `revision` through `visible`, whole revisions and about `limit` of them, or `None` if some are
    /// gone.
    fn after(&self, revision: Revision, visible: Revision, limit: usize) -> Option<Vec<Arc<Event>>> {
        if revision < self.floor {
            return None;
        }
        let start = self.events.partition_point(|event| event.revision <= revision);
        let mut taken: Vec<Arc<Event>> = Vec::new();
        for event in self.events.range(start..).take_while(|event| event.revision <= visible) {
            if taken.len() >= limit && taken.last().is_some_and(|last| last.revision != event.revision) {
                break;
            }
            taken.push(Arc::clone(event));
        }
        Some(taken)
    }

    fn pop_revision(&mut self, revision: Revision) {
        while self.events.front().is_some_and(|event| event.revision <= revision) {
            self.events.pop_front();
        }
        self.floor = self.floor.max(revision);
    }
}

impl Channel {
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Hub {
    /// A hub that starts with `events`, which are all after `floor` and lead to `current`.
    pub(crate) fn new(window: Window, current: Snapshot, events: Vec<Arc<Event>>, floor: Revision) -> Self {
        let weight = events.iter().map(|event| event.weight()).sum();
        let revision = current.revision();
        let mut inner = Inner {
            ring: Recent { events: events.into(), floor },
            weight,
            channels: HashMap::new(),
            lengths: BTreeMap::new(),
            closed: false,
        };
        inner.shrink(window, revision);
        Self {
            window,
            visible: AtomicU64::new(revision),
            current: RwLock::new(current),
            inner: Mutex::new(inner),
        }
    }

    /// The published state.
    pub(crate) fn current(&self) -> Snapshot {
        self.current.read().clone()
    }

    /// Makes a new state visible, then the events that lead to it, so that who learns of an event also finds it; and
    /// wakes the watches they concern. What is later than `persisted` is kept however much it is.
    pub(crate) fn publish(&self, events: &[Arc<Event>], next: Snapshot, persisted: Revision) {
        let inner = &mut *self.inner.lock();
        let revision = next.revision();
        let replaced = std::mem::replace(&mut *self.current.write(), next);
        for event in events {
            inner.weight += event.weight();
            inner.ring.events.push_back(Arc::clone(event));
            inner.for_channels(&event.entry.key, |slot| {
                slot.channel.recent.write().events.push_back(Arc::clone(event));
            });
        }
        self.visible.store(revision, Ordering::Release);
        for event in events {
            inner.for_channels(&event.entry.key, |slot| {
                slot.wake.send_replace(());
            });
        }
        inner.shrink(self.window, persisted);
        drop(replaced);
    }

    /// Drops the events up to a compacted revision.
    pub(crate) fn compacted(&self, revision: Revision) {
        self.inner.lock().drop_through(revision);
    }

    /// The channel of `prefix` and its wake-up; `None` when closed.
    pub(crate) fn join(&self, prefix: &str) -> Option<(Arc<Channel>, watch::Receiver<()>)> {
        let inner = &mut *self.inner.lock();
        if inner.closed {
            return None;
        }
        if !inner.channels.contains_key(prefix) {
            inner.open_channel(prefix);
        }
        let slot = &inner.channels[prefix];
        Some((Arc::clone(&slot.channel), slot.wake.subscribe()))
    }

    /// Gives back a channel; the last watch of a prefix closes it.
    pub(crate) fn leave(&self, channel: &Arc<Channel>) {
        let inner = &mut *self.inner.lock();
        let last = inner
            .channels
            .get(channel.prefix())
            .is_some_and(|slot| Arc::ptr_eq(&slot.channel, channel) && slot.wake.receiver_count() <= 1);
        if last {
            inner.close_channel(channel.prefix());
        }
    }

    /// The events of a channel after `revision`, whole revisions and about `limit` of them, or `None` if some are gone.
    pub(crate) fn after(
        &self,
        channel: &Channel,
        revision: Revision,
        limit: usize,
    ) -> Option<Vec<Arc<Event>>> {
        let visible = self.visible.load(Ordering::Acquire);
        channel.recent.read().after(revision, visible, limit)
    }

    /// The revision up to which a watch that has consumed its channel through `seen` has seen everything.
    pub(crate) fn progress(&self, channel: &Channel, seen: Revision) -> Revision {
        let _publishing = self.inner.lock();
        match self.after(channel, seen, 1) {
            Some(waiting) if waiting.is_empty() => seen.max(self.current.read().revision()),
            _ => seen,
        }
    }

    /// The recent events after `revision`, the revision that they start from (later than `revision` if some are gone),
    /// and the state they lead to.
    pub(crate) fn recent(&self, revision: Revision) -> (Vec<Arc<Event>>, Revision, Snapshot) {
        let inner = self.inner.lock();
        let start = revision.max(inner.ring.floor);
        let events = inner.ring.after(start, Revision::MAX, usize::MAX).unwrap_or_default();
        (events, start, self.current())
    }

    /// Ends all watches once they have taken what there is.
    pub(crate) fn close(&self) {
        let inner = &mut *self.inner.lock();
        inner.closed = true;
        inner.channels.clear();
        inner.lengths.clear();
    }
}

impl Inner {
    fn open_channel(&mut self, prefix: &str) {
        let prefix: Arc<str> = prefix.into();
        let under = self.ring.events.iter().filter(|event| event.entry.key.starts_with(&*prefix));
        let recent = RwLock::new(Recent { events: under.cloned().collect(), floor: self.ring.floor });
        let channel = Arc::new(Channel { prefix: Arc::clone(&prefix), recent });
        *self.lengths.entry(prefix.len()).or_insert(0) += 1;
        self.channels.insert(prefix, Slot { channel, wake: watch::Sender::new(()) });
    }

    fn close_channel(&mut self, prefix: &str) {
        self.channels.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    fn for_channels(&self, key: &str, mut act: impl FnMut(&Slot)) {
        for length in self.lengths.range(..=key.len()).map(|(length, _)| *length) {
            if let Some(slot) = key.get(..length).and_then(|start| self.channels.get(start)) {
                act(slot);
            }
        }
    }

    fn shrink(&mut self, window: Window, persisted: Revision) {
        while self.ring.events.len() > window.events || self.weight > window.bytes {
            match self.ring.events.front() {
                Some(event) if event.revision <= persisted => self.drop_through(event.revision),
                _ => break,
            }
        }
    }

    fn drop_through(&mut self, revision: Revision) {
        let gone = self.ring.events.partition_point(|event| event.revision <= revision);
        for index in 0..gone {
            let event = Arc::clone(&self.ring.events[index]);
            self.weight -= event.weight();
            self.for_channels(&event.entry.key, |slot| {
                slot.channel.recent.write().pop_revision(event.revision);
            });
        }
        self.ring.pop_revision(revision);
    }
}

#[cfg(test)]
mod tests;
