//! The forms of an object that is changed: as one of the other rows of the kinds table that have the same objects, which
//! are other versions of a custom kind, or other versions or groups of what is built in.

use std::borrow::Cow;

use wherry_api::kinds::{KINDS, Kind};
use wherry_schema::Value;

use super::attributes::Write;
use crate::kinds::{rules, stored_kind};
use crate::object::Fields;

impl Write<'_> {
    /// The other rows with the same objects and parts.
    pub(super) fn equivalents(&self) -> &[&'static Kind] {
        self.others.get_or_init(|| self.find_equivalents())
    }

    fn find_equivalents(&self) -> Vec<&'static Kind> {
        let custom = self.custom.into_iter().flat_map(|served| served.definition().rows());
        let is_same = |row: &&Kind| row.stored() && row.storage == self.row.storage;
        let built_in = KINDS.iter().filter(|_| self.custom.is_none()).filter(is_same);
        let has_part = |row: &Kind| self.part.is_empty() || row.subresource(self.part).is_some();
        let others = custom.chain(built_in).filter(|row| !std::ptr::eq(*row, self.row));
        others.filter(|row| has_part(row)).collect()
    }

    /// Whether the object is the same as one of either row. Most parts are the same in all.
    pub(super) fn looks_alike(&self, one: &Kind, other: &Kind) -> bool {
        std::ptr::eq(one, other) || !matches!(self.part, "" | "status")
    }

    /// An object of the change as one of a row with the same objects. An error says why it cannot be made.
    pub(super) async fn form<'v>(
        &self,
        object: &'v Value,
        row: &'static Kind,
    ) -> Result<Cow<'v, Value>, String> {
        if self.looks_alike(self.row, row) {
            return Ok(Cow::Borrowed(object));
        }
        self.converted(object, (self.row, row)).await.map(Cow::Owned)
    }

    /// An object of one row as one of another.
    pub(super) async fn converted(
        &self,
        object: &Value,
        (from, to): (&'static Kind, &'static Kind),
    ) -> Result<Value, String> {
        match self.custom {
            Some(served) => {
                let made = served.definition().in_version(self.state, object, to).await;
                made.map_err(|failure| failure.to_string())
            }
            None => Ok(built_in(object, from, to)),
        }
    }
}

fn built_in(object: &Value, from: &'static Kind, to: &'static Kind) -> Value {
    let mut object = object.clone();
    if let Some(conversion) = rules(from).conversion() {
        conversion.to_stored(&mut object);
    }
    let stored = stored_kind(from);
    object.put("kind", stored.kind);
    object.put("apiVersion", stored.api_version());
    if let Some(conversion) = rules(to).conversion() {
        conversion.to_served(&mut object);
    }
    object.put("kind", to.kind);
    object.put("apiVersion", to.api_version());
    object
}
