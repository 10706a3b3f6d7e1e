//! Which nodes changed since when, so that what was computed of nodes is brought up to date, not made again.

use super::NodeIndex;

/// A point in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// The last changes. What is too old is dropped: whoever missed it looks at every node.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    dropped: u64,
    changes: Vec<NodeIndex>,
}

/// How many changes are kept at least.
const KEPT: usize = 1 << 12;

impl ChangeLog {
    pub(super) fn push(&mut self, node: NodeIndex) {
        if self.changes.len() >= 2 * KEPT {
            self.changes.drain(..KEPT);
            self.dropped += KEPT as u64;
        }
        self.changes.push(node);
    }

    pub(super) fn now(&self) -> Moment {
        Moment(self.dropped + self.changes.len() as u64)
    }

    /// The nodes that changed since, some more than once; nothing if that is not known any more.
    pub(super) fn since(&self, moment: Moment) -> Option<&[NodeIndex]> {
        let seen = usize::try_from(moment.0.checked_sub(self.dropped)?).ok()?;
        self.changes.get(seen..)
    }
}
