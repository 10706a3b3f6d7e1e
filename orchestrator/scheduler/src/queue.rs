//! The Pods that wait for a node.
//!
//! ```text
//!              pop                  unschedulable
//!   (active) -------> (in a cycle) ----------------> (parked)
//!      ^  ^                |                             | a change that may help
//!      |  |                | failed                      v
//!      |  +--- due --- (backing off)                 (second try)
//!      +------------------- when nothing else is active ---+
//! ```
//!
//! Order: higher priority first, then who came first. Pods that found no node before come after the others.
//! Parked Pods cost nothing: only a change that may help wakes them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::event::Event;
use crate::plugins::{PluginSet, helps};
use crate::pod::PodInfo;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

type Place = (Reverse<i32>, u64);

/// Where a Pod is.
enum State {
    Active(Place),
    SecondTry(Place),
    BackingOff(Instant),
    /// The filters that said no.
    Parked(PluginSet),
    /// Handed out, with what happened since.
    InCycle(Vec<Event>),
}

struct Entry {
    pod: Arc<PodInfo>,
    state: State,
    /// Failures in a row.
    failures: u32,
    came: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Queue {
    entries: HashMap<String, Entry>,
    active: BTreeMap<Place, String>,
    second: BTreeMap<Place, String>,
    backing_off: BTreeSet<(Instant, String)>,
    arrivals: u64,
}

impl Queue {
    /// Takes over a Pod that waits, as it is now. A change of its spec makes it worth another try.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>) {
        let uid = pod.uid.clone();
        if let Some(entry) = self.entries.get_mut(&uid) {
            let changed = entry.pod.object.spec != pod.object.spec
                || entry.pod.object.metadata.labels != pod.object.metadata.labels;
            entry.pod = pod;
            if changed && matches!(entry.state, State::Parked(_)) {
                self.enter(&uid, true);
            }
            return;
        }
        self.arrivals += 1;
        let entry =
            Entry { pod, state: State::Parked(PluginSet::default()), failures: 0, came: self.arrivals };
        self.entries.insert(uid.clone(), entry);
        self.enter(&uid, false);
    }

    /// Drops a Pod that waits no more.
    pub(crate) fn remove(&mut self, uid: &str) {
        if let Some(entry) = self.entries.remove(uid) {
            self.leave(uid, &entry.state);
        }
    }

    /// Hands out the next Pod; one of the outcomes below must follow.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Arc<PodInfo>> {
        while self.backing_off.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, uid)) = self.backing_off.pop_first() {
                self.enter(&uid, false);
            }
        }
        let (_, uid) = self.active.pop_first().or_else(|| self.second.pop_first())?;
        let entry = self.entries.get_mut(&uid)?;
        entry.state = State::InCycle(Vec::new());
        Some(entry.pod.clone())
    }

    /// When the next Pod is due that is backing off.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.backing_off.first().map(|(due, _)| *due)
    }

    /// No node fits: wait for a change that may help, unless one came meanwhile.
    pub(crate) fn park(&mut self, uid: &str, plugins: PluginSet, cluster: &Cluster) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let State::InCycle(changes) = &entry.state else { return };
        let helped = changes.iter().any(|event| helps(event, plugins, &entry.pod, cluster));
        entry.state = State::Parked(plugins);
        if helped {
            self.enter(uid, true);
        }
    }

    /// Something failed: try again after a while.
    pub(crate) fn back_off(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.failures = entry.failures.saturating_add(1);
        let delay = FIRST_BACKOFF.saturating_mul(1 << (entry.failures - 1).min(8)).min(LONGEST_BACKOFF);
        entry.state = State::BackingOff(now + delay);
        self.backing_off.insert((now + delay, uid.to_owned()));
    }

    /// Wakes the Pods that a change may help.
    pub(crate) fn wake(&mut self, event: &Event, cluster: &Cluster) {
        let mut helped = Vec::new();
        for (uid, entry) in &mut self.entries {
            match &mut entry.state {
                State::Parked(plugins) if helps(event, *plugins, &entry.pod, cluster) => {
                    helped.push(uid.clone());
                }
                State::InCycle(events) => events.push(event.clone()),
                State::Parked(_) | State::Active(_) | State::SecondTry(_) | State::BackingOff(_) => {}
            }
        }
        for uid in helped {
            self.enter(&uid, true);
        }
    }

    /// Lines a Pod up.
    fn enter(&mut self, uid: &str, again: bool) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let place = (Reverse(entry.pod.priority), entry.came);
        let line = if again { &mut self.second } else { &mut self.active };
        line.insert(place, uid.to_owned());
        entry.state = if again { State::SecondTry(place) } else { State::Active(place) };
    }

    fn leave(&mut self, uid: &str, state: &State) {
        match state {
            State::Active(place) => drop(self.active.remove(place)),
            State::SecondTry(place) => drop(self.second.remove(place)),
            State::BackingOff(due) => drop(self.backing_off.remove(&(*due, uid.to_owned()))),
            State::Parked(_) | State::InCycle(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
