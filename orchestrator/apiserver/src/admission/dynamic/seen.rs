//! A change as somebody sees it: the request, and the objects in the version that is wanted.

use std::borrow::Cow;
use std::sync::Arc;

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::attributes::Write;
use super::request::request;
use crate::admission::policy::input::Input;

/// A change as one of a row of the kinds table.
pub(crate) struct Seen<'w> {
    pub(crate) request: Value,
    pub(crate) object: Option<Cow<'w, Value>>,
    pub(crate) old: Option<Cow<'w, Value>>,
}

impl<'w> Seen<'w> {
    /// The change as one of this row. An error says why an object cannot be made one of it.
    pub(crate) async fn new(write: &'w Write<'_>, row: &'static Kind) -> Result<Self, String> {
        let object = match &write.object {
            Some(object) => Some(write.form(object, row).await?),
            None => None,
        };
        let old = match &write.old {
            Some(old) => Some(write.form(old, row).await?),
            None => None,
        };
        Ok(Self { request: request(write, row), object, old })
    }

    /// What expressions that choose by the request are told of it.
    pub(crate) fn bare<'a>(&'a self, write: &'a Write<'_>) -> Input<'a> {
        Input {
            authorizer: &write.state.authorizer,
            user: Some(write.user),
            object: self.object.as_deref(),
            old_object: self.old.as_deref(),
            request: &self.request,
            namespace: None,
            params: None,
        }
    }

    /// What the expressions of policies are told of it.
    pub(crate) fn input<'a>(&'a self, write: &'a Write<'_>, params: Option<&'a Value>) -> Input<'a> {
        let namespace = if write.is_namespace() { None } else { write.namespace_object() };
        Input { namespace, params, ..self.bare(write) }
    }
}

/// A change in all the forms that were asked for, each made once.
pub(crate) struct Views<'w> {
    write: &'w Write<'w>,
    known: Vec<(&'static Kind, Result<Arc<Seen<'w>>, String>)>,
}

impl<'w> Views<'w> {
    /// A change that nobody has seen yet.
    pub(crate) fn of(write: &'w Write<'w>) -> Self {
        Self { write, known: Vec::new() }
    }

    /// The change as one of this row.
    pub(crate) async fn see(&mut self, row: &'static Kind) -> Result<Arc<Seen<'w>>, String> {
        if let Some((_, seen)) = self.known.iter().find(|(known, _)| std::ptr::eq(*known, row)) {
            return seen.clone();
        }
        let seen = Seen::new(self.write, row).await.map(Arc::new);
        self.known.push((row, seen.clone()));
        seen
    }
}
