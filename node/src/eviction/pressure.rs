//! What the node is short of, as time goes by. Pure: what there is and the time come in.
//!
//! ```text
//!               undercut                 for its grace                free again, with what is to be reclaimed
//! threshold: met --------> since then ----------------> Pods end -------------------------------------------> unmet
//! condition: short ---------------------------------------------------------- not undercut for the transition --> fine
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::settings::{EvictionSettings, Key};
use super::supplies::Supplies;
use super::thresholds::{Least, Signal, Supply};

/// What may be short at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Memory.
    pub(crate) memory: bool,
    /// Disk.
    pub(crate) disk: bool,
    /// Process ids.
    pub(crate) pids: bool,
}

/// What Pods are ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Starved {
    /// The threshold.
    pub(super) key: Key,
    /// What must be free.
    pub(super) threshold: u64,
    /// What is.
    pub(super) available: u64,
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What the node says of itself.
    pub(super) pressure: Pressure,
    /// What Pods are to end for.
    pub(super) starved: Option<Starved>,
}

/// What earlier looks found.
#[derive(Debug)]
pub(super) struct State {
    settings: EvictionSettings,
    /// Thresholds that are undercut, and since when.
    met: BTreeMap<Key, Timestamp>,
    /// Those of them that Pods are ended for, which takes until more is free.
    overdue: BTreeSet<Key>,
    /// When a signal was last short.
    short: BTreeMap<Signal, Timestamp>,
}

impl State {
    pub(super) fn new(settings: EvictionSettings) -> Self {
        Self { settings, met: BTreeMap::new(), overdue: BTreeSet::new(), short: BTreeMap::new() }
    }

    pub(super) fn settings(&self) -> &EvictionSettings {
        &self.settings
    }

    /// Takes a look into account.
    pub(super) fn look(&mut self, supplies: &Supplies, now: Timestamp) -> Finding {
        let met: Vec<(Key, Least, Supply)> =
            self.undercut(supplies, |key| self.overdue.contains(&key)).collect();
        self.met = met.iter().map(|(key, ..)| (*key, self.met.get(key).copied().unwrap_or(now))).collect();
        self.short.extend(self.met.keys().map(|key| (key.signal, now)));
        self.overdue = self
            .met
            .iter()
            .filter(|(key, since)| now.duration_since(**since).unsigned_abs() >= self.settings.grace(**key))
            .map(|(key, _)| *key)
            .collect();
        // The order of signals is that in which upstream cares for them: memory first.
        let starved = self.overdue.first().and_then(|first| met.iter().find(|(key, ..)| key == first));
        let starved = starved.map(|(key, least, supply)| Starved {
            key: *key,
            threshold: least.of(supply.all),
            available: supply.free,
        });
        Finding { pressure: self.pressure(now), starved }
    }

    /// Whether something is short, counting what is to be reclaimed.
    pub(super) fn is_short(&self, supplies: &Supplies) -> bool {
        self.undercut(supplies, |_| true).next().is_some()
    }

    /// The thresholds that are undercut; those that `reclaims` names by more than their least.
    fn undercut(
        &self,
        supplies: &Supplies,
        reclaims: impl Fn(Key) -> bool,
    ) -> impl Iterator<Item = (Key, Least, Supply)> {
        self.settings.thresholds().filter_map(move |(key, least)| {
            let supply = *supplies.get(&key.signal)?;
            let reclaim = if reclaims(key) { self.settings.reclaim(key.signal, supply.all) } else { 0 };
            let counted = Supply { free: supply.free.saturating_sub(reclaim), ..supply };
            least.is_undercut(counted).then_some((key, least, supply))
        })
    }

    fn pressure(&self, now: Timestamp) -> Pressure {
        let recent = |at: &Timestamp| now.duration_since(*at).unsigned_abs() <= self.settings.transition;
        let mut pressure = Pressure::default();
        for signal in self.short.iter().filter(|(_, at)| recent(at)).map(|(signal, _)| signal) {
            match signal {
                Signal::MemoryAvailable => pressure.memory = true,
                Signal::PidAvailable => pressure.pids = true,
                Signal::NodefsAvailable
                | Signal::NodefsInodesFree
                | Signal::ImagefsAvailable
                | Signal::ImagefsInodesFree => pressure.disk = true,
            }
        }
        pressure
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::settings::Urgency;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn free(signal: Signal, free: u64) -> Supplies {
        Supplies::from([(signal, Supply { free, all: 1000 })])
    }

    fn state(hard: &str, soft: &str, reclaim: &str) -> State {
        State::new(EvictionSettings {
            hard: hard.parse().unwrap(),
            soft: soft.parse().unwrap(),
            soft_grace: "memory.available=30s".parse().unwrap(),
            minimum_reclaim: reclaim.parse().unwrap(),
            transition: Duration::from_mins(1),
            ..EvictionSettings::default()
        })
    }

    #[test]
    fn a_soft_threshold_ends_pods_only_when_it_lasts() {
        let mut state = state("memory.available<100", "memory.available<50%", "");
        let memory = |bytes| free(Signal::MemoryAvailable, bytes);
        let first = state.look(&memory(400), at(0));
        assert!(first.pressure.memory && first.starved.is_none());
        assert_eq!(state.look(&memory(600), at(20)).starved, None);
        assert_eq!(state.look(&memory(400), at(40)).starved, None, "its time began anew");
        let starved = state.look(&memory(400), at(70)).starved.unwrap();
        assert_eq!((starved.key.urgency, starved.threshold, starved.available), (Urgency::Soft, 500, 400));
        let starved = state.look(&memory(99), at(80)).starved.unwrap();
        assert_eq!((starved.key.urgency, starved.threshold), (Urgency::Hard, 100));
    }

    #[test]
    fn pods_end_until_there_is_more_than_the_threshold() {
        let mut state = state("memory.available<100", "", "memory.available=50");
        let memory = |bytes| free(Signal::MemoryAvailable, bytes);
        assert_eq!(state.look(&memory(149), at(0)).starved, None);
        assert!(state.look(&memory(99), at(1)).starved.is_some());
        assert!(state.look(&memory(149), at(2)).starved.is_some() && state.is_short(&memory(149)));
        assert!(state.look(&memory(150), at(3)).starved.is_none() && !state.is_short(&memory(150)));
        assert_eq!(state.look(&memory(149), at(4)).starved, None);
    }

    #[test]
    fn a_condition_outlasts_its_cause() {
        let mut state = state("pid.available<10,imagefs.inodesFree<1%", "", "");
        assert_eq!(state.look(&free(Signal::PidAvailable, 10), at(0)).pressure, Pressure::default());
        let short = Pressure { pids: true, ..Pressure::default() };
        assert_eq!(state.look(&free(Signal::PidAvailable, 9), at(1)).pressure, short);
        assert_eq!(state.look(&free(Signal::PidAvailable, 10), at(61)).pressure, short);
        assert_eq!(state.look(&free(Signal::PidAvailable, 10), at(62)).pressure, Pressure::default());
        let disk = Pressure { disk: true, ..Pressure::default() };
        assert_eq!(state.look(&free(Signal::ImagefsInodesFree, 9), at(63)).pressure, disk);
    }

    #[test]
    fn memory_comes_first() {
        let mut state = state("pid.available<10,memory.available<10", "", "");
        let mut both = free(Signal::PidAvailable, 1);
        both.extend(free(Signal::MemoryAvailable, 1));
        let starved = state.look(&both, at(0)).starved.unwrap();
        assert_eq!(starved.key.signal, Signal::MemoryAvailable);
    }
}
