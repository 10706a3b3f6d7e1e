//! A row of the log as bytes and back, as `docs/store-format.md` lays it out. Pure; decoding takes any bytes.

use crate::entry::{Event, EventKind, Revision};

/// What comes before the value in a row.
const HEADER: usize = 21;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const SEALED_PUT: u8 = 3;

/// A row of the log, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) revision: Revision,
    pub(crate) key: &'a str,
    pub(crate) kind: EventKind,
    pub(crate) create_revision: Revision,
    /// The revision of the row that this one replaces, 0 if none.
    pub(crate) replaced: Revision,
    pub(crate) value: &'a [u8],
    /// Whether the value of a put is sealed.
    pub(crate) sealed: bool,
}

/// Why bytes are not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("its key has {0} bytes")]
    KeyLength(usize),
    #[error("its key is not UTF-8")]
    KeyText,
    #[error("it has {0} bytes, fewer than a row's header")]
    Short(usize),
    #[error("its checksum does not match")]
    Checksum,
    #[error("its kind is {0}")]
    Kind(u8),
    #[error("its revisions contradict each other")]
    Revisions,
    #[error("it is a delete with a value")]
    DeleteValue,
}

impl<'a> Record<'a> {
    /// The row that an event becomes.
    pub(crate) fn of(event: &'a Event) -> Self {
        let value = match event.kind {
            EventKind::Put => event.entry.value.as_ref(),
            EventKind::Delete => &[],
        };
        Self {
            revision: event.revision,
            key: &event.entry.key,
            kind: event.kind,
            create_revision: event.entry.create_revision,
            replaced: event.replaced(),
            value,
            sealed: false,
        }
    }

    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let row_key = row_key(self.revision, self.key);
        let mut row = Vec::with_capacity(HEADER + self.value.len());
        row.extend_from_slice(&[0; 4]);
        row.push(match self.kind {
            EventKind::Put if self.sealed => SEALED_PUT,
            EventKind::Put => PUT,
            EventKind::Delete => DELETE,
        });
        row.extend_from_slice(&self.create_revision.to_le_bytes());
        row.extend_from_slice(&self.replaced.to_le_bytes());
        row.extend_from_slice(self.value);
        let sum = checksum(&row_key, &row[4..]);
        row[..4].copy_from_slice(&sum.to_le_bytes());
        (row_key, row)
    }

    pub(crate) fn decode(row_key: &'a [u8], row: &'a [u8]) -> Result<Self, RecordError> {
        let (revision, key) = split_row_key(row_key)?;
        let (header, value) = row.split_at_checked(HEADER).ok_or(RecordError::Short(row.len()))?;
        if header[..4] != checksum(row_key, &row[4..]).to_le_bytes() {
            return Err(RecordError::Checksum);
        }
        let kind = match header[4] {
            PUT | SEALED_PUT => EventKind::Put,
            DELETE => EventKind::Delete,
            other => return Err(RecordError::Kind(other)),
        };
        let record = Self {
            revision,
            key,
            kind,
            create_revision: u64_at(header, 5),
            replaced: u64_at(header, 13),
            value,
            sealed: header[4] == SEALED_PUT,
        };
        record.check().map(|()| record)
    }

    /// What must hold within one row, whatever the others are.
    fn check(&self) -> Result<(), RecordError> {
        let created_here = self.create_revision == self.revision;
        let revisions_fit = match self.kind {
            EventKind::Put if self.replaced == 0 => created_here,
            EventKind::Put | EventKind::Delete => {
                0 < self.create_revision
                    && self.create_revision <= self.replaced
                    && self.replaced < self.revision
            }
        };
        match self.kind {
            _ if !revisions_fit => Err(RecordError::Revisions),
            EventKind::Delete if !self.value.is_empty() => Err(RecordError::DeleteValue),
            EventKind::Put | EventKind::Delete => Ok(()),
        }
    }
}

/// The row key of `key` as written at `revision`.
pub(crate) fn row_key(revision: Revision, key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&revision.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// The revision of a row key, as far as it has one; for messages.
pub(crate) fn revision_of(row_key: &[u8]) -> Option<Revision> {
    row_key.first_chunk().map(|bytes| Revision::from_be_bytes(*bytes))
}

fn split_row_key(row_key: &[u8]) -> Result<(Revision, &str), RecordError> {
    let (revision, key) = row_key.split_first_chunk().ok_or(RecordError::KeyLength(row_key.len()))?;
    if key.is_empty() || key.len() > crate::txn::MAX_KEY_BYTES {
        return Err(RecordError::KeyLength(key.len()));
    }
    let key = std::str::from_utf8(key).map_err(|_| RecordError::KeyText)?;
    match Revision::from_be_bytes(*revision) {
        0 => Err(RecordError::Revisions),
        revision => Ok((revision, key)),
    }
}

fn checksum(row_key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(row_key);
    hasher.update(rest);
    hasher.finalize()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the header is longer than that"))
}

#[cfg(test)]
mod tests;
