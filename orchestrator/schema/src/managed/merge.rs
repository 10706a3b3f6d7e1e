//! Merging a configuration into an object, along the schema: leaves of the configuration win, lists told apart by
//! keys or values merge item by item, nothing is removed.

use std::collections::HashMap;

use super::element::Element;
use super::problems::Problems;
use super::types::{Atom, Items, Type};
use crate::schema::Schema;
use crate::value::{Object, Value};

/// The object with the configuration merged into it.
pub fn merge(object: &Value, config: &Value, schema: &Schema) -> Result<Value, Problems> {
    Ok(visit(Some(object), Some(config), Type::root(schema))?.unwrap_or_default())
}

type Merged = Result<Option<Value>, Problems>;

fn visit(old: Option<&Value>, new: Option<&Value>, of: Type<'_>) -> Merged {
    match of.atom([old, new]) {
        atom if atom.is_whole() => {}
        atom @ (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }) => {
            let [a, b] = [old, new].map(|value| value.and_then(Value::as_object));
            if a.is_some_and(|o| !o.is_empty()) || b.is_some_and(|o| !o.is_empty()) {
                return objects(a, b, atom);
            }
        }
        Atom::List { element, items } => {
            let [a, b] = [old, new].map(|value| value.and_then(Value::as_array));
            if a.is_some_and(|l| !l.is_empty()) || b.is_some_and(|l| !l.is_empty()) {
                return lists(a.map_or(&[], Vec::as_slice), b.map_or(&[], Vec::as_slice), element, items);
            }
        }
        Atom::Scalar(_) | Atom::Any => {}
    }
    Ok(new.or(old).cloned())
}

fn objects(old: Option<&Object>, new: Option<&Object>, atom: Atom<'_>) -> Merged {
    let empty = Object::new();
    let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
    let mut fields = Vec::with_capacity(old.len() + new.len());
    let mut problems = Problems::default();
    let added = new.keys().filter(|name| !old.contains(name));
    for name in old.keys().chain(added) {
        let Some((of, _)) = atom.child(name) else { continue };
        match visit(old.get(name), new.get(name), of) {
            Ok(Some(value)) => fields.push((name.clone(), value)),
            Ok(None) => {}
            Err(found) => problems.below(&format_args!(".{name}"), found),
        }
    }
    problems.finish()?;
    Ok((!fields.is_empty()).then(|| Value::Object(Object::from_fields(fields))))
}

/// The items of one list, by element.
struct Indexed<'a> {
    /// Elements in the order of the items.
    order: Vec<Element>,
    /// The item of each element; none if there are several.
    items: HashMap<Element, Option<&'a Value>>,
}

fn index<'a>(
    list: &'a [Value],
    of: Type<'_>,
    items: Items<'_>,
    duplicates: bool,
) -> Result<Indexed<'a>, Problems> {
    let mut out =
        Indexed { order: Vec::with_capacity(list.len()), items: HashMap::with_capacity(list.len()) };
    let mut problems = Problems::default();
    for (at, item) in list.iter().enumerate() {
        let element = match items.element(item, of) {
            Ok(element) => element,
            Err(why) => {
                problems.add(format!("element {at}: {why}"));
                continue;
            }
        };
        if out.items.contains_key(&element) {
            if !duplicates {
                problems.add(format!("duplicate entries for key {element}"));
                continue;
            }
            out.items.insert(element.clone(), None);
        } else {
            out.items.insert(element.clone(), Some(item));
        }
        out.order.push(element);
    }
    problems.finish().map(|()| out)
}

/// Items that both lists have come in the order of the configuration, the others keep their place among them.
fn lists(old: &[Value], new: &[Value], of: Type<'_>, items: Items<'_>) -> Merged {
    let right = index(new, of, items, false)?;
    let left = index(old, of, items, true)?;
    let mut merging =
        Merging { old, of, left, right, out: Vec::new(), merged: Vec::new(), problems: Problems::default() };
    merging.run();
    let Merging { out, problems, .. } = merging;
    problems.finish()?;
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

struct Merging<'a> {
    old: &'a [Value],
    of: Type<'a>,
    left: Indexed<'a>,
    right: Indexed<'a>,
    out: Vec<Value>,
    /// Elements of the configuration that have been merged.
    merged: Vec<Element>,
    problems: Problems,
}

impl Merging<'_> {
    fn run(&mut self) {
        let (lefts, rights) = (std::mem::take(&mut self.left.order), std::mem::take(&mut self.right.order));
        let mut shared = rights
            .iter()
            .filter(|e| self.left.items.contains_key(*e))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        let mut next = shared.next();
        let (mut l, mut r) = (0, 0);
        while l < lefts.len() || r < rights.len() {
            if let (Some(left), Some(right)) = (lefts.get(l), rights.get(r)) {
                if left == right {
                    self.take_right(right);
                    (l, r) = (l + 1, r + 1);
                    next = shared.next();
                    continue;
                }
                if self.right.items.contains_key(left) && next.as_ref().is_some_and(|next| next != left) {
                    // Both have it, but its turn comes with the configuration's.
                    l += 1;
                    continue;
                }
            }
            if let Some(left) = lefts.get(l) {
                if !self.right.items.contains_key(left) {
                    let value = &self.old[l];
                    self.merge(left, Some(value), None);
                    l += 1;
                    continue;
                }
                if self.merged.contains(left) {
                    l += 1;
                }
            }
            if let Some(right) = rights.get(r) {
                self.take_right(right);
                r += 1;
                if next.as_ref() == Some(right) {
                    next = shared.next();
                }
            }
        }
    }

    fn take_right(&mut self, element: &Element) {
        self.merged.push(element.clone());
        // Duplicates are not merged with the new item, they are replaced by it.
        let old = self.left.items.get(element).map(|found| found.unwrap_or(&Value::Null));
        let new = self.right.items.get(element).copied().flatten();
        self.merge(element, old, new);
    }

    fn merge(&mut self, element: &Element, old: Option<&Value>, new: Option<&Value>) {
        match visit(old, new, self.of) {
            Ok(value) => self.out.extend(value),
            Err(found) => self.problems.below(element, found),
        }
    }
}
