//! What happened while Pods were in their cycles.
//!
//! A Pod in a cycle is decided on by what was known when the cycle began. Events since then are kept for as long as the
//! oldest such Pod needs them, once for all.

use std::collections::{BTreeMap, VecDeque};

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(u64);

/// See the module's documentation.
pub(super) struct Log<E> {
    events: VecDeque<E>,
    /// The place of the first event kept.
    first: u64,
    /// How many Pods read from each place on.
    readers: BTreeMap<Mark, usize>,
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        Self { events: VecDeque::new(), first: 0, readers: BTreeMap::new() }
    }
}

impl<E> Log<E> {
    /// Keeps an event for the Pods in their cycles, if there are any.
    pub(super) fn push(&mut self, event: impl FnOnce() -> E) {
        if !self.readers.is_empty() {
            self.events.push_back(event());
        }
    }

    /// A cycle begins.
    pub(super) fn begin(&mut self) -> Mark {
        let mark = Mark(self.first + self.events.len() as u64);
        *self.readers.entry(mark).or_default() += 1;
        mark
    }

    /// What came since.
    pub(super) fn since(&self, mark: Mark) -> impl Iterator<Item = &E> {
        let skipped = usize::try_from(mark.0.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.events.iter().skip(skipped)
    }

    /// A cycle ends; what nobody needs any more is dropped.
    pub(super) fn end(&mut self, mark: Mark) {
        if let Some(count) = self.readers.get_mut(&mark) {
            *count -= 1;
            if *count == 0 {
                self.readers.remove(&mark);
            }
        }
        let needed = self.readers.keys().next().map_or(u64::MAX, |mark| mark.0);
        while self.first < needed && self.events.pop_front().is_some() {
            self.first += 1;
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_sees_what_came_since_it_began() {
        let mut log = Log::default();
        log.push(|| 0);
        let first = log.begin();
        log.push(|| 1);
        let second = log.begin();
        log.push(|| 2);
        assert_eq!(log.since(first).copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(log.since(second).copied().collect::<Vec<_>>(), [2]);
        log.end(first);
        assert_eq!((log.kept(), log.since(second).count()), (1, 1));
        log.end(second);
        log.push(|| 3);
        assert_eq!(log.kept(), 0);
        let third = log.begin();
        assert_eq!(log.since(third).count(), 0);
    }
}
