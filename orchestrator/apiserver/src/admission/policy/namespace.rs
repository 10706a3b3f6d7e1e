//! How expressions read `namespaceObject`: with the types that are declared of it, and without what they may not see.

use wherry_api::data::{Reading, Shape};

/// A part of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    Metadata,
    Status,
    Conditions,
    Condition,
    Time,
}

impl Shape for Part {
    fn reading(&self) -> Reading {
        if *self == Self::Time { Reading::DateTime } else { Reading::Plain }
    }

    fn item(&self) -> Option<&dyn Shape> {
        (*self == Self::Conditions).then_some(&Self::Condition)
    }

    fn stored_name<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        match (self, name) {
            (Self::Metadata, "managedFields" | "ownerReferences" | "selfLink") => None,
            // This is the name the field was declared by.
            (Self::Metadata, "UID") => Some("uid"),
            _ => Some(name),
        }
    }

    fn field(&self, stored: &str) -> Option<&dyn Shape> {
        Some(match (self, stored) {
            (Self::Whole, "metadata") => &Self::Metadata,
            (Self::Whole, "status") => &Self::Status,
            (Self::Status, "conditions") => &Self::Conditions,
            (Self::Metadata, "creationTimestamp" | "deletionTimestamp")
            | (Self::Condition, "lastTransitionTime") => &Self::Time,
            _ => return None,
        })
    }
}
