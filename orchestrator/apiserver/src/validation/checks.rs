//! Rules that many kinds share, each reported in Kubernetes' words.

use wherry_schema::Value;

use super::{Errors, Path, Shown, meta, names};
use crate::object::{self, Fields};

pub(crate) const IMMUTABLE: &str = "field is immutable";

impl Errors {
    /// Reports what is wrong with a text.
    pub(crate) fn check(&mut self, result: Result<(), String>, text: &str, path: &Path) {
        if let Err(reason) = result {
            self.invalid(path, text, &reason);
        }
    }

    /// The text must be a DNS subdomain.
    pub(crate) fn subdomain(&mut self, text: &str, path: &Path) {
        self.problems(path, text, names::subdomain(text));
    }

    /// The text must be a DNS label.
    pub(crate) fn label(&mut self, text: &str, path: &Path) {
        self.problems(path, text, names::label(text));
    }

    /// The text must be a qualified name, as keys of labels are.
    pub(crate) fn qualified(&mut self, text: &str, path: &Path) {
        self.problems(path, text, names::qualified(text));
    }

    /// The text must be there, and a segment of a URL path.
    pub(crate) fn path_segment(&mut self, text: &str, path: &Path) {
        if text.is_empty() {
            self.required(path, "");
        } else {
            self.check(meta::path_segment(text), text, path);
        }
    }

    /// The text must be one of these, which are given in the order in which they are reported.
    pub(crate) fn one_of(&mut self, text: &str, path: &Path, supported: &[&str]) {
        if !supported.contains(&text) {
            self.unsupported(path, text, supported);
        }
    }

    /// The text must be there.
    pub(crate) fn some_text(&mut self, text: &str, path: &Path) {
        if text.is_empty() {
            self.required(path, "");
        }
    }

    /// The number must be in the range.
    pub(crate) fn within(&mut self, number: i64, (low, high): (i64, i64), path: &Path) {
        if !(low..=high).contains(&number) {
            self.invalid(path, number, &format!("must be between {low} and {high}, inclusive"));
        }
    }

    /// The field may not change.
    pub(crate) fn immutable(&mut self, object: &Value, old: &Value, field: &str) {
        if !object::same(object, old, field) {
            let shown = object.field(field).map_or(Shown::raw("null"), Shown::from);
            self.invalid(&Path::new(field), shown, IMMUTABLE);
        }
    }
}

/// The texts of a list.
pub(crate) fn texts<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    object.items(path).iter().map(|item| item.as_str().unwrap_or_default()).collect()
}

/// A list as an error shows it.
pub(crate) fn show_list(object: &Value, path: &str) -> Shown {
    object.field(path).map_or(Shown::raw("null"), Shown::from)
}
