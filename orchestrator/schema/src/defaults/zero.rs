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

/// Makes lists and maps that are always written null where they are empty, as they are once they have been stored.
pub(super) fn settle(value: &mut Value, node: Node) {
    let schemas = Schemas::builtin();
    match (node, value) {
        (Node::Struct(index), Value::Object(object)) => {
            for field in &schemas.structure(index).fields {
                let is_nullable = field.always && matches!(field.node, Node::List(_) | Node::Map(_));
                if !is_nullable && !holds_structs(field.node) {
                    continue;
                }
                let Some(value) = object.get_mut(field.name) else { continue };
                match &*value {
                    Value::Array(items) if is_nullable && items.is_empty() => *value = Value::Null,
                    Value::Object(map) if is_nullable && map.is_empty() => *value = Value::Null,
                    _ => settle(value, field.node),
                }
            }
        }
        (Node::List(element), Value::Array(items)) => {
            let element = schemas.element(element);
            for item in items {
                settle(item, element);
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

#[cfg(test)]
mod tests {
    use crate::schema::Schemas;
    use crate::value::Value;

    #[test]
    fn empty_lists_that_are_always_written_are_stored_as_null() {
        let schema = Schemas::builtin().kind("discovery.k8s.io", "v1", "EndpointSlice").unwrap();
        let mut slice = Value::from_json(br#"{"addressType":"IPv4","endpoints":[],"ports":[]}"#).unwrap();
        super::settle(&mut slice, schema.node().unwrap());
        assert_eq!(slice.to_string(), r#"{"addressType":"IPv4","endpoints":null,"ports":null}"#);
        let mut full = Value::from_json(br#"{"endpoints":[{"addresses":["a"]}]}"#).unwrap();
        let before = full.clone();
        super::settle(&mut full, schema.node().unwrap());
        assert_eq!(full, before);
    }
}
