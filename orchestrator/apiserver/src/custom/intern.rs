//! Rows of custom kinds, kept for the life of the process.
//!
//! Everything that handles a kind names it by a `&'static Kind`, and so do failures and routes. Rows and their names are
//! never freed; equal ones are the same, so that a definition that comes again, or changes in anything but its names,
//! costs nothing: see ADR 3. Nothing else of a definition is kept here.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::LazyLock;

use parking_lot::Mutex;
use wherry_api::kinds::{Kind, Subresource};

static ROWS: Pool<Kind> = Pool::new();
static TEXTS: Pool<str> = Pool::new();
static LISTS: Pool<[&'static str]> = Pool::new();
static PARTS: Pool<[Subresource]> = Pool::new();

/// Values that live as long as the process, each once.
struct Pool<T: ?Sized + 'static>(LazyLock<Mutex<HashSet<&'static T>>>);

impl<T: ?Sized + Eq + Hash> Pool<T> {
    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// The value that is equal to this one, which is kept if it is the first.
    fn get(&self, value: &T, keep: impl FnOnce() -> Box<T>) -> &'static T {
        let mut known = self.0.lock();
        if let Some(found) = known.get(value) {
            return found;
        }
        let kept: &'static T = Box::leak(keep());
        known.insert(kept);
        kept
    }
}

/// A row that lives as long as the process.
pub(super) fn row(row: Kind) -> &'static Kind {
    ROWS.get(&row.clone(), || Box::new(row))
}

/// A text that lives as long as the process.
pub(super) fn text(text: &str) -> &'static str {
    TEXTS.get(text, || text.into())
}

/// Texts that live as long as the process.
pub(super) fn texts<'t>(list: impl Iterator<Item = &'t str>) -> &'static [&'static str] {
    let list: Vec<&'static str> = list.map(text).collect();
    LISTS.get(&list, || list.as_slice().into())
}

/// Subresources that live as long as the process.
pub(super) fn parts(parts: &[Subresource]) -> &'static [Subresource] {
    PARTS.get(parts, || parts.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_kept_once() {
        assert!(std::ptr::eq(text("widgets"), text(&String::from("widgets"))));
        let names = || texts(["a", "b"].into_iter());
        assert!(std::ptr::eq(names(), names()));
        let kind = || Kind {
            group: text("example.com"),
            version: text("v1"),
            kind: text("Widget"),
            plural: text("widgets"),
            singular: text("widget"),
            short_names: names(),
            categories: &[],
            namespaced: true,
            verbs: &["get"],
            subresources: parts(&[]),
            storage: text("example.com/widgets"),
        };
        assert!(std::ptr::eq(row(kind()), row(kind())));
        let other = Kind { version: text("v2"), ..kind() };
        assert!(!std::ptr::eq(row(kind()), row(other)));
    }
}
