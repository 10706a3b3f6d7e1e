//! A transaction as data: preconditions, then puts and deletes, all or nothing at one revision.

use std::collections::HashSet;

use bytes::Bytes;

use crate::entry::Revision;
use crate::error::TxnError;

/// The longest key.
pub const MAX_KEY_BYTES: usize = 4096;
/// The largest value.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// Preconditions and operations that happen together or not at all.
///
/// A transaction that changes nothing (no operations, or only deletes of absent keys) takes no revision; its answer
/// is the revision at which that was found.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// All must hold, checked in order.
    pub preconditions: Vec<Precondition>,
    /// What to write. A key may appear once.
    pub ops: Vec<Op>,
    /// When to acknowledge.
    pub durability: Durability,
}

/// What must hold of a key for the transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key is not there.
    Absent {
        /// The key.
        key: String,
    },
    /// The key is there and was last written at this revision.
    ModRevision {
        /// The key.
        key: String,
        /// Its expected `mod_revision`.
        revision: Revision,
    },
    /// The key is there and holds this value, as a put of it left it. So a transaction can build on one that was
    /// submitted before it and has no revision yet.
    Holds {
        /// The key.
        key: String,
        /// The value as it was put, without its revision.
        value: Bytes,
        /// Where the put let the store insert the revision.
        revision_at: Option<usize>,
    },
    /// The key is there.
    Exists {
        /// The key.
        key: String,
    },
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Create or replace.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// At this byte offset of `value` the store inserts the transaction's revision in decimal.
        revision_at: Option<usize>,
    },
    /// Remove. An absent key is left absent and makes no event.
    Delete {
        /// The key.
        key: String,
    },
}

/// When a transaction is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After it is safe on disk.
    #[default]
    Durable,
    /// At once. It is written with the next commit, at the latest after `Options::lazy_interval`; a crash in between
    /// loses it, and its revision is then never used again.
    Lazy,
}

impl Precondition {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent { key }
            | Self::ModRevision { key, .. }
            | Self::Holds { key, .. }
            | Self::Exists { key } => key,
        }
    }
}

impl Op {
    /// The key that it writes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Txn {
    /// Refuses what no state of the store could accept.
    pub(crate) fn validate(&self) -> Result<(), TxnError> {
        let mut keys = HashSet::with_capacity(self.ops.len());
        for op in &self.ops {
            validate_key(op.key())?;
            if !keys.insert(op.key()) {
                return Err(invalid(op.key(), "is written twice in one transaction".to_owned()));
            }
            if let Op::Put { key, value, revision_at } = op {
                validate_value(key, value, *revision_at)?;
            }
        }
        Ok(())
    }
}

fn validate_key(key: &str) -> Result<(), TxnError> {
    match key.len() {
        0 => Err(invalid(key, "is empty".to_owned())),
        1..=MAX_KEY_BYTES => Ok(()),
        length => Err(invalid(key, format!("has {length} bytes, more than {MAX_KEY_BYTES}"))),
    }
}

fn validate_value(key: &str, value: &Bytes, revision_at: Option<usize>) -> Result<(), TxnError> {
    let length = value.len();
    if length > MAX_VALUE_BYTES {
        return Err(invalid(key, format!("has a value of {length} bytes, more than {MAX_VALUE_BYTES}")));
    }
    match revision_at {
        Some(at) if at > length => {
            Err(invalid(key, format!("wants its revision at byte {at} of a value of {length} bytes")))
        }
        _ => Ok(()),
    }
}

fn invalid(key: &str, problem: String) -> TxnError {
    TxnError::Invalid { key: key.to_owned(), problem }
}
