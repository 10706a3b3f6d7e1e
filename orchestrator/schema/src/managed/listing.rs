//! Which fields a value has: every leaf, every item, every entry of a map, and every empty object.

use std::collections::BTreeMap;

use super::element::Element;
use super::set::Set;
use super::types::{Atom, Child, Items, Type, field_element};
use crate::schema::Schema;
use crate::value::{Object, Value};

/// The fields of a value of this schema. Items that cannot be told apart are not listed.
pub fn fields_of(value: &Value, schema: &Schema) -> Set {
    list(value, Type::root(schema)).1
}

/// Whether the value is a leaf, and the fields in it.
fn list(value: &Value, of: Type<'_>) -> (bool, Set) {
    match (of.atom([Some(value), None]), value) {
        (atom, _) if atom.is_whole() => (true, Set::default()),
        (atom @ (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }), Value::Object(object)) => {
            (false, list_object(object, atom))
        }
        (Atom::List { element, items }, Value::Array(list)) => (false, list_items(list, element, items)),
        _ => (false, Set::default()),
    }
}

fn list_object(object: &Object, atom: Atom<'_>) -> Set {
    let mut set = Set::default();
    for (name, value) in object.iter() {
        let Some((of, child)) = atom.child(name) else { continue };
        let (leaf, children) = list(value, of);
        let empty = value.is_null() || value.as_object().is_some_and(Object::is_empty);
        let member = leaf || empty || matches!(child, Child::Entry);
        set.push(|| field_element(name, child), member, children);
    }
    set
}

/// Items that occur twice are owned as a whole.
fn list_items(list: &[Value], of: Type<'_>, items: Items<'_>) -> Set {
    let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in list {
        if let Ok(element) = items.element(item, of) {
            found.entry(element).or_default().push(item);
        }
    }
    let mut set = Set::default();
    for (element, values) in found {
        let children = match values.as_slice() {
            [one] => self::list(one, of).1,
            _ => Set::default(),
        };
        set.push(|| element, true, children);
    }
    set
}
