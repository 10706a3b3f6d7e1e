//! The revisioned key-value store under the API server: etcd's shape, one file, one process.
//!
//! It knows keys, bytes and revisions, and nothing of Kubernetes. What it promises, each with a test in
//! `tests/invariants.rs` or beside it:
//!
//! - **S1** revisions rise by one with each transaction; after a hard stop they may jump over a recorded gap.
//! - **S2** an entry's `mod_revision` is the revision of its last write.
//! - **S3** a watch from R yields every later event of its range once and in order, or ends with
//!   [`WatchError::Compacted`].
//! - **S4** what was acknowledged as [`Durability::Durable`] survives `kill -9` and power loss.
//! - **S5** a [`Snapshot`] is the state at exactly one revision.
//! - **S6** a failed precondition changes nothing.
//! - **S7** compaction never removes the newest version of a key.
//! - **S8** there is one writer.
//!
//! Reading order: `entry`, `txn` (the vocabulary), `store` (the handle), `plan` (a transaction against the
//! state, pure), `writer` (the one thread), `hub` and `watch` (events out), `disk` (the file; its format is in
//! `docs/store-format.md`).
//!
//! Architecture Invariant: reads are answered from memory. Only opening, compaction, and history older than the
//! event window read the file.

mod attributes;
mod disk;
mod entry;
mod error;
mod history;
mod hub;
mod options;
mod plan;
mod record;
mod retention;
mod seal;
mod shared;
mod snapshot;
mod store;
mod txn;
mod watch;
mod writer;

pub use attributes::Attributes;
pub use entry::{Entry, Event, EventKind, Revision};
pub use error::{CompactError, OpenError, StorageFailure, TxnError, WatchError};
pub use options::{Clock, Extractor, Options, WriterTask};
pub use seal::{Seal, SealError};
pub use snapshot::Snapshot;
pub use store::Store;
pub use txn::{Durability, MAX_KEY_BYTES, MAX_VALUE_BYTES, Op, Precondition, Txn};
pub use watch::Watch;
