//! The index of the roles and bindings in the store, kept current.
//!
//! # Guarantees
//! A change that was acknowledged counts in every decision that begins later. A decision with an index that is current
//! costs no decoding and holds no lock while it looks.

use std::sync::Arc;

use wherry_store::Store;

use super::policy::{Index, Policy};
use crate::follow::Follower;

/// Roles and bindings, and where they come from.
pub(crate) struct Rbac(Follower<Policy>);

impl Rbac {
    /// The roles and bindings of a store.
    pub(super) fn new(store: &Store) -> Self {
        Self(Follower::new(store, &Policy::default()))
    }

    /// The index as of now.
    pub(crate) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.0.now().index)
    }
}
