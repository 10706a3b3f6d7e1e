//! Who owns which field of an object: `metadata.managedFields` and server-side apply (KEP-555).
//!
//! Reading order: [`Element`] and [`Set`] (sets of field paths), `fields` (their form in objects, FieldsV1), `types`
//! (how a schema says lists and maps are owned), then what is done to typed values along a schema: `listing` (which
//! fields a value has), `compare`, `merge`, `remove`, `validate`. [`Owners`] joins them into what writes do: `update`
//! for every write that says the whole object, `apply` for configurations; `entries` reads and writes the list in the
//! metadata.
//!
//! Follows `sigs.k8s.io/structured-merge-diff` v6 and `k8s.io/apimachinery/pkg/util/managedfields` in every answer.

mod apply;
mod atomics;
mod cap;
mod compare;
mod element;
mod entries;
mod fields;
mod last_applied;
mod listing;
mod merge;
mod owners;
mod problems;
mod remove;
mod scale;
mod set;
mod types;
mod validate;

pub use apply::{ApplyError, Conflict, Conflicts};
pub use atomics::atomics;
pub use compare::{Comparison, compare};
pub use element::{Element, ElementError};
pub use entries::{EntriesError, Entry, Operation};
pub use fields::FieldsError;
pub use listing::fields_of;
pub use merge::merge;
pub use owners::{Owners, Versions, Write};
pub use problems::Problems;
pub use remove::remove;
pub use set::Set;
pub use validate::validate;

#[cfg(test)]
mod tests;
