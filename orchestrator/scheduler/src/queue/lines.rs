//! The orders in which Pods wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

/// A Pod's uid.
pub(super) type Uid = Arc<str>;

/// Higher priority first, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) priority: Reverse<i32>,
    pub(super) number: u64,
}

/// Pods in the order of their places.
#[derive(Default)]
pub(super) struct Line(BTreeMap<Place, Uid>);

impl Line {
    pub(super) fn insert(&mut self, place: Place, uid: Uid) {
        self.0.insert(place, uid);
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.0.remove(&place);
    }

    pub(super) fn first(&self) -> Option<Place> {
        self.0.keys().next().copied()
    }

    pub(super) fn pop(&mut self) -> Option<Uid> {
        self.0.pop_first().map(|(_, uid)| uid)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Pods in the order of times.
#[derive(Default)]
pub(super) struct Times(BTreeSet<(Instant, Uid)>);

impl Times {
    pub(super) fn insert(&mut self, time: Instant, uid: Uid) {
        self.0.insert((time, uid));
    }

    pub(super) fn remove(&mut self, time: Instant, uid: &Uid) {
        self.0.remove(&(time, uid.clone()));
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(time, _)| *time)
    }

    /// The first Pod whose time has come.
    pub(super) fn due(&self, now: Instant) -> Option<Uid> {
        self.0.first().filter(|(time, _)| *time <= now).map(|(_, uid)| uid.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
