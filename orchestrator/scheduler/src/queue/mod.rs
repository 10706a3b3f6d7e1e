//! The Pods that wait for a node.
//!
//! ```text
//!   set --has gates--> (gated) --gates are gone--+
//!    |                                           v
//!    +---------------------------------------> (active) --pop--> (in cycle) --decided--> (leaving)
//!                                              ^  ^  ^             |  |                     |
//!       due, or nothing of its rank is active  |  |  +-- surely ---|--|-- (parked) <--park--+- or failed
//!                                              |  |                |  |       |
//!                         (backing off) -------+  +- 5 minutes ----|--|-------+
//!                              ^---------- failed -----------------+  |       |
//!                              +---------- may be helped -------------+-------+
//! ```
//!
//! Order: higher priority first, then who came or was tried first.
//!
//! Guarantees: a Pod that was told of is in exactly one of these states. An event that may help a Pod is never lost, also
//! while the Pod is in its cycle. A Pod that an event may help is tried again at once if nothing of at least its
//! priority is active, however often it was tried before; backing off only lets others of its rank go first. Only after
//! a failure that is no "does not fit" it waits its time in any case. Parked Pods cost nothing.

mod lines;
mod log;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::plugins::PluginSet;
use crate::pod::PodInfo;
use lines::{Line, Place, Times, Uid};
use log::{Log, Mark};

/// How long Pods wait that were tried in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) longest: Duration,
    /// After so long a Pod is tried again though nothing happened.
    pub(crate) flush: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(10),
            flush: Duration::from_mins(5),
        }
    }
}

impl Backoff {
    fn after(&self, failures: u32) -> Duration {
        self.initial.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest)
    }
}

/// Why Pods came into which line, as upstream's metrics name both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incoming {
    pub(crate) queue: &'static str,
    pub(crate) event: &'static str,
}

/// What an event does for a Pod that found no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Help {
    /// Nothing.
    No,
    /// It may have room now.
    Maybe,
    /// It has room now.
    Surely,
}

/// How many Pods wait, by where they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) active: usize,
    pub(crate) backing_off: usize,
    pub(crate) unschedulable: usize,
    pub(crate) gated: usize,
}

/// Why a Pod that was tried comes into a line.
const FAILED: &str = "ScheduleAttemptFailure";

#[derive(Clone, Copy)]
enum State {
    Gated,
    Active(Place),
    /// Without a place the Pod waits until it is due, whoever else there is.
    BackingOff(Option<Place>, Instant),
    Parked {
        until: Instant,
        /// The plugins that said no.
        rejection: PluginSet,
    },
    InCycle(Mark),
    /// It has a node; the API does not show it yet.
    Leaving,
}

struct Entry {
    pod: Arc<PodInfo>,
    state: State,
    /// Where it stands among those of its priority: by when it came, or was tried last.
    number: u64,
    /// How often it was tried.
    attempts: u32,
    /// Of these, how often no node did, and how often something failed since the last time it did not.
    misfits: u32,
    failures: u32,
    /// When its last backing off ends.
    rested: Instant,
    /// When it could first be tried.
    since: Instant,
}

impl Entry {
    fn place(&self) -> Place {
        Place { priority: Reverse(self.pod.priority), number: self.number }
    }
}

/// A Pod to be decided on.
#[derive(Clone)]
pub(crate) struct Popped {
    pub(crate) pod: Arc<PodInfo>,
    /// Which attempt this is.
    pub(crate) attempt: u32,
    /// When it could first be tried.
    pub(crate) since: Instant,
}

/// See the module's documentation. `E` is what happens.
pub(crate) struct Queue<E> {
    backoff: Backoff,
    entries: HashMap<Uid, Entry>,
    active: Line,
    /// Those backing off that may go before they are due.
    resting: Line,
    due: Times,
    parked: HashMap<PluginSet, HashSet<Uid>>,
    flushes: Times,
    log: Log<E>,
    numbers: u64,
    gated: usize,
    incoming: BTreeMap<Incoming, usize>,
}

impl<E: Clone> Queue<E> {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            entries: HashMap::new(),
            active: Line::default(),
            resting: Line::default(),
            due: Times::default(),
            parked: HashMap::new(),
            flushes: Times::default(),
            log: Log::default(),
            numbers: 0,
            gated: 0,
            incoming: BTreeMap::new(),
        }
    }

    /// Takes over a Pod that waits, as it is now. A change of what it asks for makes it worth another try.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let uid = Uid::from(pod.uid.as_str());
        let is_gated = is_gated(&pod);
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.numbers += 1;
            let entry = Entry {
                pod,
                state: State::Gated,
                number: self.numbers,
                attempts: 0,
                misfits: 0,
                failures: 0,
                rested: now,
                since: now,
            };
            self.entries.insert(uid.clone(), entry);
            self.gated += 1;
            if is_gated {
                self.came("gated", "PodAdd");
            } else {
                self.activate(&uid, "PodAdd");
            }
            return;
        };
        let changed = asks_otherwise(&entry.pod, &pod);
        entry.pod = pod;
        match entry.state {
            State::Gated if !is_gated => {
                entry.since = now;
                self.activate(&uid, "PodUpdate");
            }
            State::Parked { .. } if changed => self.retry(&uid, Help::Maybe, (now, "PodUpdate")),
            _ => {}
        }
    }

    /// A Pod that waits, as it was told of last.
    pub(crate) fn get(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    /// Whether a Pod has a node that the API does not show yet.
    pub(crate) fn is_decided(&self, uid: &str) -> bool {
        self.entries.get(uid).is_some_and(|entry| matches!(entry.state, State::Leaving))
    }

    /// Drops a Pod that waits no more.
    pub(crate) fn remove(&mut self, uid: &str) {
        if let Some((uid, entry)) = self.entries.remove_entry(uid) {
            self.leave(&uid, entry.state);
        }
    }

    /// Hands out the next Pod; one of the outcomes below must follow.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Popped> {
        while let Some(uid) = self.due.due(now) {
            self.activate(&uid, "BackoffComplete");
        }
        while let Some(uid) = self.flushes.due(now) {
            self.activate(&uid, "UnschedulableTimeout");
        }
        let rank = |line: &Line| line.first().map(|place| place.priority.0);
        let line =
            if rank(&self.resting) > rank(&self.active) { &mut self.resting } else { &mut self.active };
        let uid = line.pop()?;
        let mark = self.log.begin();
        let entry = self.entries.get_mut(&uid).expect("whoever stands in a line is known");
        let before = std::mem::replace(&mut entry.state, State::InCycle(mark));
        entry.attempts = entry.attempts.saturating_add(1);
        let popped = Popped { pod: entry.pod.clone(), attempt: entry.attempts, since: entry.since };
        self.leave(&uid, before);
        Some(popped)
    }

    /// When there will be a Pod to hand out though nothing happens.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        [self.due.first(), self.flushes.first()].into_iter().flatten().min()
    }

    /// The Pod has a node. It is removed when the API shows it there.
    pub(crate) fn decided(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get_mut(uid) {
            let before = std::mem::replace(&mut entry.state, State::Leaving);
            self.leave(&Uid::from(uid), before);
        }
    }

    /// No node fits: wait for an event that helps, unless one came since the cycle began.
    pub(crate) fn park(
        &mut self,
        uid: &str,
        rejection: PluginSet,
        now: Instant,
        mut help: impl FnMut(&E, &PodInfo, PluginSet) -> Help,
    ) {
        let Some((uid, entry)) = self.entries.get_key_value(uid) else { return };
        let (uid, State::InCycle(mark)) = (uid.clone(), &entry.state) else { return };
        let came = self.log.since(*mark).map(|event| help(event, &entry.pod, rejection));
        let helped = came.max().unwrap_or(Help::No);
        let (until, misfits) = (now + self.backoff.flush, entry.misfits.saturating_add(1));
        let rested = now + self.backoff.after(misfits);
        self.flushes.insert(until, uid.clone());
        self.parked.entry(rejection).or_default().insert(uid.clone());
        self.numbers += 1;
        let entry = self.entries.get_mut(&uid).expect("it was found above");
        (entry.misfits, entry.failures, entry.rested) = (misfits, 0, rested);
        entry.number = self.numbers;
        let before = std::mem::replace(&mut entry.state, State::Parked { until, rejection });
        self.leave(&uid, before);
        self.came("unschedulable", FAILED);
        if helped != Help::No {
            self.retry(&uid, helped, (now, FAILED));
        }
    }

    /// Something failed: try again after a while.
    pub(crate) fn back_off(&mut self, uid: &str, now: Instant) {
        let Some((uid, entry)) = self.entries.get_key_value(uid) else { return };
        if !matches!(entry.state, State::InCycle(_) | State::Leaving) {
            return;
        }
        let (uid, failures) = (uid.clone(), entry.failures.saturating_add(1));
        let due = now + self.backoff.after(failures);
        self.numbers += 1;
        let entry = self.entries.get_mut(&uid).expect("it was found above");
        (entry.failures, entry.rested, entry.number) = (failures, due, self.numbers);
        let before = std::mem::replace(&mut entry.state, State::BackingOff(None, due));
        self.leave(&uid, before);
        self.due.insert(due, uid);
        self.came("backoff", FAILED);
    }

    /// Ends the cycle of a Pod by trying it again at once.
    pub(crate) fn again(&mut self, uid: &str) {
        self.activate_from(uid, |state| matches!(state, State::InCycle(_)));
    }

    /// Tries a parked Pod again at once.
    pub(crate) fn again_if_parked(&mut self, uid: &str) {
        self.activate_from(uid, |state| matches!(state, State::Parked { .. }));
    }

    fn activate_from(&mut self, uid: &str, is: fn(State) -> bool) {
        if let Some((uid, _)) = self.entries.get_key_value(uid).filter(|(_, entry)| is(entry.state)) {
            self.activate(&uid.clone(), "ForceActivate");
        }
    }

    /// Something happened, which metrics call `name`: the parked Pods that it helps are tried again. `concerns` says by
    /// which plugins they must have been refused.
    pub(crate) fn wake(
        &mut self,
        event: &E,
        (now, name): (Instant, &'static str),
        concerns: impl Fn(PluginSet) -> bool,
        mut help: impl FnMut(&E, &PodInfo, PluginSet) -> Help,
    ) {
        self.log.push(|| event.clone());
        let mut helped = Vec::new();
        for (rejection, uids) in self.parked.iter().filter(|(rejection, _)| concerns(**rejection)) {
            for uid in uids {
                let Some(entry) = self.entries.get(uid) else { continue };
                match help(event, &entry.pod, *rejection) {
                    Help::No => {}
                    help => helped.push((uid.clone(), help)),
                }
            }
        }
        for (uid, help) in helped {
            self.retry(&uid, help, (now, name));
        }
    }

    /// How many Pods came into which lines since the last time.
    pub(crate) fn take_incoming(&mut self) -> BTreeMap<Incoming, usize> {
        std::mem::take(&mut self.incoming)
    }

    /// How many parked Pods each set of plugins refused.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (PluginSet, usize)> {
        self.parked.iter().map(|(rejection, uids)| (*rejection, uids.len()))
    }

    /// How many Pods wait where.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            active: self.active.len(),
            backing_off: self.due.len(),
            unschedulable: self.flushes.len(),
            gated: self.gated,
        }
    }

    /// A parked Pod is tried again, at once or behind others of its rank.
    fn retry(&mut self, uid: &Uid, help: Help, (now, why): (Instant, &'static str)) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let (place, due) = (entry.place(), entry.rested);
        if help == Help::Surely || due <= now {
            self.activate(uid, why);
            return;
        }
        let before = std::mem::replace(&mut entry.state, State::BackingOff(Some(place), due));
        self.leave(uid, before);
        self.resting.insert(place, uid.clone());
        self.due.insert(due, uid.clone());
        self.came("backoff", why);
    }

    fn activate(&mut self, uid: &Uid, why: &'static str) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let place = entry.place();
        let before = std::mem::replace(&mut entry.state, State::Active(place));
        self.leave(uid, before);
        self.active.insert(place, uid.clone());
        self.came("active", why);
    }

    fn came(&mut self, queue: &'static str, event: &'static str) {
        *self.incoming.entry(Incoming { queue, event }).or_default() += 1;
    }

    /// Takes a Pod out of where this state has it.
    fn leave(&mut self, uid: &Uid, state: State) {
        match state {
            State::Gated => self.gated -= 1,
            State::Active(place) => self.active.remove(place),
            State::BackingOff(place, due) => {
                self.due.remove(due, uid);
                if let Some(place) = place {
                    self.resting.remove(place);
                }
            }
            State::Parked { until, rejection } => {
                self.flushes.remove(until, uid);
                if let Some(group) = self.parked.get_mut(&rejection) {
                    group.remove(uid);
                    if group.is_empty() {
                        self.parked.remove(&rejection);
                    }
                }
            }
            State::InCycle(mark) => self.log.end(mark),
            State::Leaving => {}
        }
    }
}

fn is_gated(pod: &PodInfo) -> bool {
    let gates = pod.object.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    gates.is_some_and(|gates| !gates.is_empty())
}

/// Whether a Pod asks for something else than before.
fn asks_otherwise(before: &PodInfo, now: &PodInfo) -> bool {
    let (before, now) = (&before.object, &now.object);
    let claims = |pod: &k8s_openapi::api::core::v1::Pod| {
        pod.status.as_ref().and_then(|status| status.resource_claim_statuses.clone())
    };
    before.spec != now.spec || before.metadata.labels != now.metadata.labels || claims(before) != claims(now)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
