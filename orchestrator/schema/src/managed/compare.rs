//! What differs between two values: which fields were added, modified, removed.

use std::collections::BTreeMap;

use super::element::Element;
use super::problems::Problems;
use super::set::Set;
use super::types::{Atom, Items, Type, field_element};
use crate::schema::Schema;
use crate::value::{Object, Value};

/// The fields in which two values differ; none is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the second value.
    pub added: Set,
    /// In both, with different leaves.
    pub modified: Set,
    /// Only in the first value.
    pub removed: Set,
}

/// Compares two values of this schema.
pub fn compare(old: &Value, new: &Value, schema: &Schema) -> Result<Comparison, Problems> {
    let mut walk = Walk { problems: Problems::default() };
    let found = walk.visit(Some(old), Some(new), Type::root(schema));
    walk.problems.finish().map(|()| found.below)
}

impl Comparison {
    /// Removes fields and all below them.
    pub fn cut(&mut self, fields: &Set) {
        self.added.cut(fields);
        self.modified.cut(fields);
        self.removed.cut(fields);
    }

    fn push(&mut self, element: impl Fn() -> Element, found: Found) {
        self.added.push(&element, found.added, found.below.added);
        self.modified.push(&element, found.modified, found.below.modified);
        self.removed.push(&element, found.removed, found.below.removed);
    }
}

/// What happened to a place, and below it.
#[derive(Default)]
struct Found {
    added: bool,
    modified: bool,
    removed: bool,
    below: Comparison,
}

struct Walk {
    problems: Problems,
}

impl Walk {
    fn visit(&mut self, old: Option<&Value>, new: Option<&Value>, of: Type<'_>) -> Found {
        let below = match of.atom([old, new]) {
            atom if atom.is_whole() => None,
            atom @ (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }) => {
                let [old, new] = [old, new].map(|value| value.and_then(Value::as_object));
                self.objects(old, new, atom)
            }
            Atom::List { element, items } => {
                let [old, new] = [old, new].map(|value| value.and_then(Value::as_array));
                self.lists(old, new, (element, items))
            }
            Atom::Scalar(_) | Atom::Any => None,
        };
        // Two empty things are a leaf too, which is how they are told from each other and from null.
        let leaf = below.is_none();
        Found {
            added: old.is_none(),
            modified: leaf && old.zip(new).is_some_and(|(old, new)| !same(old, new)),
            removed: new.is_none(),
            below: below.unwrap_or_default(),
        }
    }

    /// Both objects are sorted, so that one pass over the two compares them.
    fn objects(&mut self, old: Option<&Object>, new: Option<&Object>, atom: Atom<'_>) -> Option<Comparison> {
        if old.is_none_or(Object::is_empty) && new.is_none_or(Object::is_empty) {
            return None;
        }
        let mut out = Comparison::default();
        let mut old = old.into_iter().flat_map(Object::iter).peekable();
        let mut new = new.into_iter().flat_map(Object::iter).peekable();
        loop {
            let name = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some((name, _)), None) | (None, Some((name, _))) => *name,
                (Some((a, _)), Some((b, _))) => (*a).min(*b),
            };
            let before = old.next_if(|(found, _)| *found == name).map(|(_, value)| value);
            let after = new.next_if(|(found, _)| *found == name).map(|(_, value)| value);
            let Some((of, field)) = atom.child(name) else { continue };
            let outer = std::mem::take(&mut self.problems);
            let found = self.visit(before, after, of);
            let inner = std::mem::replace(&mut self.problems, outer);
            self.problems.below(&format_args!(".{name}"), inner);
            out.push(|| field_element(name, field), found);
        }
        Some(out)
    }

    fn lists(
        &mut self,
        old: Option<&Vec<Value>>,
        new: Option<&Vec<Value>>,
        (of, items): (Type<'_>, Items<'_>),
    ) -> Option<Comparison> {
        if old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty) {
            return None;
        }
        let mut found: BTreeMap<Element, [Vec<&Value>; 2]> = BTreeMap::new();
        for (side, list) in [old, new].into_iter().enumerate() {
            for (index, item) in list.into_iter().flatten().enumerate() {
                match items.element(item, of) {
                    Ok(element) => found.entry(element).or_default()[side].push(item),
                    Err(why) => self.problems.add(format!("element {index}: {why}")),
                }
            }
        }
        let mut out = Comparison::default();
        for (element, [old, new]) in found {
            let outer = std::mem::take(&mut self.problems);
            let changed = self.items(&old, &new, of);
            let inner = std::mem::replace(&mut self.problems, outer);
            self.problems.below(&element, inner);
            out.push(|| element.clone(), changed);
        }
        Some(out)
    }

    /// Items with one element: usually at most one on either side. Duplicates are compared, and owned, as a whole.
    fn items(&mut self, old: &[&Value], new: &[&Value], of: Type<'_>) -> Found {
        match (old, new) {
            ([] | [_], [] | [_]) => self.visit(old.first().copied(), new.first().copied(), of),
            ([_, _, ..], [_, _, ..]) => Found { modified: old != new, ..Found::default() },
            ([_, _, ..], _) => {
                let left = new.first().map(|item| self.visit(None, Some(item), of)).unwrap_or_default();
                Found { removed: true, ..left }
            }
            (_, _) => {
                let lost = old.first().map(|item| self.visit(Some(item), None, of)).unwrap_or_default();
                Found { added: true, ..lost }
            }
        }
    }
}

/// Whether two leaves are equal, however their numbers are written.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
