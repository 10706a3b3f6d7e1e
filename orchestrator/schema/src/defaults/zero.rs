//! Fields that are written even if nobody set them, such as `status: {}` or `lastProbeTime: null`.

use crate::decode::walk::zero;
use crate::schema::{Node, Schemas};
use crate::value::{Str, Value};

/// Adds them to a value and everything in it.
pub(super) fn fill(value: &mut Value, node: Node) {
    let schemas = Schemas::builtin();
    match (node, value) {
        (Node::Struct(index), Value::Object(object)) => {
            let fields = &schemas.structure(index).fields;
            for field in fields.iter().filter(|field| field.always) {
                object.or_insert_with(Str::fixed(field.name), || zero(field.node));
            }
            for field in fields.iter().filter(|field| holds_structs(field.node)) {
                if let Some(value) = object.get_mut(field.name) {
                    fill(value, field.node);
                }
            }
        }
        (Node::List(element), Value::Array(items)) => {
            let element = schemas.element(element);
            for item in items {
                fill(item, element);
            }
        }
        _ => {}
    }
}

fn holds_structs(node: Node) -> bool {
    match node {
        Node::Struct(_) => true,
        Node::List(element) => matches!(Schemas::builtin().element(element), Node::Struct(_)),
        _ => false,
    }
}
