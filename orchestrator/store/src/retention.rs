//! How far back history is kept: by number of revisions and by age. Pure.

use std::collections::VecDeque;

use crate::entry::Revision;

/// A range of revisions lost in a crash, both ends included. Nothing will ever be written at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: Revision,
    pub(crate) last: Revision,
}

impl Gap {
    pub(crate) fn contains(self, revision: Revision) -> bool {
        (self.first..=self.last).contains(&revision)
    }
}

/// The revision to compact to so that `retain` revisions that really happened are left. `gaps` are in order.
pub(crate) fn target_by_count(revision: Revision, retain: u64, gaps: &[Gap]) -> Revision {
    let mut top = revision;
    let mut left = retain;
    for gap in gaps.iter().rev() {
        let happened = top.saturating_sub(gap.last);
        if left <= happened {
            break;
        }
        left -= happened;
        top = gap.first.saturating_sub(1);
    }
    top.saturating_sub(left)
}

/// Remembers which revision was current when, coarsely, to tell what is older than `retain`.
#[derive(Debug)]
pub(crate) struct Ages {
    retain_ms: u64,
    marks: VecDeque<(u64, Revision)>,
}

impl Ages {
    pub(crate) fn new(retain: std::time::Duration) -> Self {
        let retain_ms = u64::try_from(retain.as_millis()).unwrap_or(u64::MAX);
        Self { retain_ms, marks: VecDeque::new() }
    }

    /// `revision` is current at `now`. Marks are at least 1/16 of the retained age apart: the last one moves along
    /// until it is.
    pub(crate) fn note(&mut self, now: u64, revision: Revision) {
        let coarse = self.retain_ms / 16;
        let before_last = self.marks.len().checked_sub(2).map(|index| self.marks[index].0);
        match self.marks.back_mut() {
            Some((_, last)) if *last == revision => {}
            Some(last) if before_last.is_some_and(|at| now.saturating_sub(at) < coarse) => {
                *last = (now, revision);
            }
            _ => self.marks.push_back((now, revision)),
        }
    }

    /// The newest revision that is old enough to go, if any. Each is answered once.
    pub(crate) fn expired(&mut self, now: u64) -> Option<Revision> {
        let mut expired = None;
        while let Some((at, revision)) = self.marks.front().copied() {
            if at.saturating_add(self.retain_ms) > now {
                break;
            }
            expired = Some(revision);
            self.marks.pop_front();
        }
        expired
    }

    /// When [`Ages::expired`] will next have an answer.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.marks.front().map(|(at, _)| at.saturating_add(self.retain_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn revisions_in_gaps_do_not_count_as_history() {
        let gaps = [Gap { first: 11, last: 100 }, Gap { first: 106, last: 200 }];
        assert_eq!(target_by_count(210, 4, &gaps), 206);
        assert_eq!(target_by_count(210, 10, &gaps), 200);
        assert_eq!(target_by_count(210, 12, &gaps), 103);
        assert_eq!(target_by_count(210, 15, &gaps), 100);
        assert_eq!(target_by_count(210, 20, &gaps), 5);
        assert_eq!(target_by_count(210, 1000, &gaps), 0);
        assert_eq!(target_by_count(7, 3, &[]), 4);
    }

    #[test]
    fn what_is_older_than_the_age_expires_and_the_rest_stays() {
        let mut ages = Ages::new(Duration::from_millis(160));
        ages.note(1000, 5);
        ages.note(1100, 9);
        assert_eq!(ages.next_expiry(), Some(1160));
        assert_eq!(ages.expired(1159), None);
        assert_eq!(ages.expired(1160), Some(5));
        assert_eq!(ages.expired(1160), None);
        assert_eq!(ages.expired(1300), Some(9));
        assert_eq!(ages.next_expiry(), None);
    }

    #[test]
    fn marks_are_few_however_often_revisions_come() {
        let mut ages = Ages::new(Duration::from_millis(1600));
        for at in 0..1600 {
            ages.note(at, at + 1);
        }
        assert!(ages.marks.len() <= 18, "{} marks", ages.marks.len());
    }
}
