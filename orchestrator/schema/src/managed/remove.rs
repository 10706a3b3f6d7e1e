//! Taking fields out of a value.

use super::set::Set;
use super::types::{Atom, Items, Type, field_element};
use crate::schema::Schema;
use crate::value::{Object, Value};

/// The value without the fields of a set. What becomes empty becomes null.
pub fn remove(value: &Value, fields: &Set, schema: &Schema) -> Value {
    visit(value, fields, Type::root(schema))
}

fn visit(value: &Value, fields: &Set, of: Type<'_>) -> Value {
    match (of.atom([Some(value), None]), value) {
        (Atom::Scalar(_), scalar) => scalar.clone(),
        (atom, _) if atom.is_whole() => Value::Null,
        (atom @ (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }), Value::Object(object)) => {
            remove_fields(object, fields, atom)
        }
        (Atom::List { element, items }, Value::Array(list)) => remove_items(list, fields, element, items),
        _ => Value::Null,
    }
}

fn remove_fields(object: &Object, fields: &Set, atom: Atom<'_>) -> Value {
    let mut kept = Vec::with_capacity(object.len());
    for (name, value) in object.iter() {
        let Some((of, field)) = atom.child(name) else { continue };
        let value = match fields.get(&field_element(name, field)) {
            Some(found) if found.member => continue,
            Some(found) => visit(value, &found.children, of),
            None => value.clone(),
        };
        kept.push((name.clone(), value));
    }
    if kept.is_empty() { Value::Null } else { Value::Object(Object::from_fields(kept)) }
}

fn remove_items(list: &[Value], fields: &Set, of: Type<'_>, items: Items<'_>) -> Value {
    let mut kept = Vec::with_capacity(list.len());
    for item in list {
        let found = items.element(item, of).ok().and_then(|element| fields.get(&element));
        match found {
            Some(found) if found.member => {}
            Some(found) => kept.push(visit(item, &found.children, of)),
            None => kept.push(item.clone()),
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}
