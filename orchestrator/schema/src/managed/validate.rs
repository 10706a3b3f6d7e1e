//! Whether a configuration fits its schema well enough to be merged: fields that exist, values of their kinds, lists
//! whose items can be told apart.

use std::collections::HashSet;

use super::problems::Problems;
use super::types::{Atom, Items, Scalar, Type};
use crate::patch::directives::print;
use crate::schema::Schema;
use crate::value::{Object, Value};

/// Checks a configuration.
pub fn validate(config: &Value, schema: &Schema) -> Result<(), Problems> {
    check(config, Type::root(schema)).finish()
}

fn check(value: &Value, of: Type<'_>) -> Problems {
    match (of.atom([Some(value), None]), value) {
        (Atom::Any, _) | (_, Value::Null) => Problems::default(),
        (Atom::Scalar(kind), value) => scalar(value, kind),
        (atom @ (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }), Value::Object(object)) => {
            fields(object, atom)
        }
        (Atom::Struct { .. } | Atom::Fields(..) | Atom::Map { .. }, other) => {
            Problems::one(format!("expected map, got {}", shown(other)))
        }
        (Atom::List { element, items }, Value::Array(list)) => self::items(list, element, items),
        (Atom::List { .. }, other) => Problems::one(format!("expected list, got {}", shown(other))),
    }
}

fn scalar(value: &Value, kind: Scalar) -> Problems {
    let fits = match value {
        Value::Int(_) | Value::Float(_) => matches!(kind, Scalar::Numeric | Scalar::Untyped),
        Value::String(_) => matches!(kind, Scalar::String | Scalar::Untyped),
        Value::Bool(_) => matches!(kind, Scalar::Boolean | Scalar::Untyped),
        Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    if fits {
        return Problems::default();
    }
    Problems::one(match kind {
        Scalar::Numeric => format!("expected numeric (int or float), got {}", value.go_type()),
        Scalar::String => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value))
        }
        Scalar::Boolean => format!("expected boolean, got {}", shown(value)),
        Scalar::Untyped => format!("expected any scalar, got {}", shown(value)),
    })
}

fn fields(object: &Object, atom: Atom<'_>) -> Problems {
    let mut problems = Problems::default();
    for (name, value) in object.iter() {
        let found = match atom.child(name) {
            Some((of, _)) => check(value, of),
            None => Problems::one("field not declared in schema"),
        };
        problems.below(&format_args!(".{name}"), found);
    }
    problems
}

fn items(list: &[Value], of: Type<'_>, items: Items<'_>) -> Problems {
    let mut problems = Problems::default();
    let mut seen = HashSet::new();
    for (index, item) in list.iter().enumerate() {
        if items == Items::Atomic {
            problems.below(&format_args!("[{index}]"), check(item, of));
            continue;
        }
        match items.element(item, of) {
            Ok(element) => {
                if !seen.insert(element.clone()) {
                    problems.add(format!("duplicate entries for key {element}"));
                }
                problems.below(&element, check(item, of));
            }
            Err(why) => {
                problems.add(format!("element {index}: {why}"));
                break;
            }
        }
    }
    problems
}

/// A value as Go's `%v` prints the wrapper it is in.
fn shown(value: &Value) -> String {
    let mut text = "&{".to_owned();
    print(value, &mut text);
    text.push('}');
    text
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(object) => {
            let fields: Vec<String> = object
                .iter()
                .map(|(name, value)| format!("{:?}:{}", name.as_str(), go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
    }
}
