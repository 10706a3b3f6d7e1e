//! A write as expressions are told of it: the request, and the objects in the version that the policy wants.

use std::borrow::Cow;

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::input::Input;
use crate::admission::dynamic::Write;
use crate::admission::dynamic::request::request;

/// A write as one of a row of the kinds table.
pub(super) struct Seen<'w> {
    row: &'static Kind,
    request: Value,
    object: Option<Cow<'w, Value>>,
    old: Option<Cow<'w, Value>>,
}

impl<'w> Seen<'w> {
    pub(super) fn new(write: &'w Write<'_>, row: &'static Kind) -> Self {
        let convert = |object: &'w Value| write.convert(object, row);
        Self {
            row,
            request: request(write, row),
            object: write.object.as_deref().map(convert),
            old: write.old.as_deref().map(convert),
        }
    }

    /// Whether it is the write as one of this row.
    pub(super) fn is_as(&self, row: &'static Kind) -> bool {
        std::ptr::eq(self.row, row)
    }

    /// What expressions are told of it.
    pub(super) fn input<'a>(&'a self, write: &'a Write<'_>, params: Option<&'a Value>) -> Input<'a> {
        Input {
            authorizer: &write.state.authorizer,
            user: Some(write.user),
            object: self.object.as_deref(),
            old_object: self.old.as_deref(),
            request: &self.request,
            namespace: if write.is_namespace() { None } else { write.namespace_object() },
            params,
        }
    }
}
