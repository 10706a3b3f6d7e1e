//! What the writer publishes and everybody else reads.

use parking_lot::RwLock;

use crate::disk::Disk;
use crate::entry::Revision;
use crate::error::WatchError;
use crate::hub::Hub;
use crate::options::Options;
use crate::retention::Gap;
use crate::snapshot::Snapshot;

/// What the writer publishes and everybody else reads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Disk,
    pub(crate) hub: Hub,
    pub(crate) history: RwLock<History>,
}

/// Which revisions can still be asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) compacted: Revision,
    pub(crate) gaps: Vec<Gap>,
}

impl Shared {
    /// The current state, if `revision` is one that a watch or a list may start from.
    pub(crate) fn state_after(&self, revision: Revision) -> Result<Snapshot, WatchError> {
        let current = self.hub.current();
        self.history.read().check(revision, current.revision())?;
        Ok(current)
    }
}

impl History {
    fn check(&self, revision: Revision, current: Revision) -> Result<(), WatchError> {
        if revision > current {
            return Err(WatchError::Future { current });
        }
        if revision < self.compacted {
            return Err(WatchError::Compacted { oldest: self.compacted });
        }
        match self.gaps.iter().find(|gap| gap.contains(revision)) {
            Some(gap) => Err(WatchError::Compacted { oldest: gap.last + 1 }),
            None => Ok(()),
        }
    }

    /// The history after a compaction to `revision`.
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.compacted = revision;
        self.gaps.retain(|gap| gap.last >= revision);
    }
}
