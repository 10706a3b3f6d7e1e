//! Strategic merge patch: a merge patch that knows which lists are maps in disguise.
//!
//! The schema says which lists merge and by which field; directives in the patch say the rest. Follows
//! `k8s.io/apimachinery/pkg/util/strategicpatch`, down to the order of merged lists.

use std::borrow::Cow;

use super::directives::{
    DELETE_FROM_PRIMITIVE_LIST, Directive, RETAIN_KEYS, SET_ELEMENT_ORDER, directive, plain, strategic,
    unknown_directive,
};
use super::order::{Identity, arrange};
use super::{PatchError, type_name};
use crate::schema::{Field, Node, Schema, Schemas, Strategy};
use crate::value::{Object, Str, Value};

/// Applies a strategic merge patch of an object of this schema. A patch that fails changes nothing.
pub fn strategic_merge(target: &mut Value, patch: &Value, schema: &Schema) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        let expected = "map[string]interface {}";
        return Err(PatchError::Shape { found: type_name(patch), expected });
    };
    let before = target.as_object().cloned().unwrap_or_default();
    *target = Value::Object(merge_object(before, patch, schema.node())?);
    Ok(())
}

/// The field of a struct; inside maps and unknown values there is none.
fn field(node: Option<Node>, name: &str) -> Option<&'static Field> {
    match node? {
        Node::Struct(index) => Schemas::builtin().structure(index).field(name),
        _ => None,
    }
}

/// The type of a field of a struct or of an entry of a map.
fn field_node(node: Option<Node>, name: &str) -> Option<Node> {
    match node? {
        Node::Struct(index) => Schemas::builtin().structure(index).field(name).map(|field| field.node),
        Node::Map(element) => Some(Schemas::builtin().element(element)),
        _ => None,
    }
}

fn merge_object(mut original: Object, patch: &Object, node: Option<Node>) -> Result<Object, PatchError> {
    match directive(patch)? {
        Some(Directive::Delete) => return Ok(Object::new()),
        Some(Directive::Replace) => {
            let mut patch = patch.clone();
            patch.remove(super::directives::PATCH);
            return Ok(plain(&Value::Object(patch)).and_then(into_object).unwrap_or_default());
        }
        Some(Directive::Merge) => return Err(unknown_directive(patch)),
        None => {}
    }
    retain_keys(&mut original, patch)?;
    set_element_orders(&mut original, patch, node)?;
    for (name, change) in patch.iter() {
        if name == RETAIN_KEYS || name.starts_with(SET_ELEMENT_ORDER) || is_ordered(patch, name) {
            continue;
        }
        match name.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
            Some(list) => delete_from_primitive_list(&mut original, list, change)?,
            None => merge_field(&mut original, name, change, node)?,
        }
    }
    Ok(original)
}

fn into_object(value: Value) -> Option<Object> {
    if let Value::Object(object) = value { Some(object) } else { None }
}

/// Whether the patch has a `$setElementOrder` for this list, which merges it too.
fn is_ordered(patch: &Object, list: &str) -> bool {
    patch.contains(&format!("{SET_ELEMENT_ORDER}{list}"))
}

fn merge_field(
    original: &mut Object,
    name: &Str,
    change: &Value,
    node: Option<Node>,
) -> Result<(), PatchError> {
    if change.is_null() {
        original.remove(name);
        return Ok(());
    }
    let field = field(node, name);
    let value = match (original.get_mut(name).map(std::mem::take), change) {
        (Some(Value::Object(before)), Value::Object(patch))
            if field.is_none_or(|field| field.strategy != Strategy::Replace) =>
        {
            Some(Value::Object(merge_object(before, patch, field_node(node, name))?))
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            Some(Value::Array(merge_list(before, patch, field)?))
        }
        _ => plain(change),
    };
    match value {
        Some(value) => original.insert(name.clone(), value),
        None => original.remove(name),
    };
    Ok(())
}

/// Drops what `$retainKeys` does not name; the patch itself may set nothing else.
fn retain_keys(original: &mut Object, patch: &Object) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or_else(|| strategic("invalid patch format of retainKeys"))?;
    let retained = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    let stray =
        patch.iter().any(|(name, value)| !value.is_null() && !name.starts_with('$') && !retained(name));
    if stray {
        return Err(strategic("patch content doesn't match retainKeys list"));
    }
    original.retain(|name, _| retained(name));
    Ok(())
}

fn delete_from_primitive_list(original: &mut Object, list: &str, doomed: &Value) -> Result<(), PatchError> {
    let (Some(Value::Array(items)), Value::Array(doomed)) = (original.get_mut(list), doomed) else {
        return Ok(());
    };
    if items.iter().chain(doomed).any(|item| matches!(item, Value::Object(_) | Value::Array(_))) {
        return Err(strategic("invalid patch format of primitive list"));
    }
    items.retain(|item| !doomed.contains(item));
    Ok(())
}

/// Merges and orders the lists that have a `$setElementOrder`.
fn set_element_orders(original: &mut Object, patch: &Object, node: Option<Node>) -> Result<(), PatchError> {
    for (name, order) in patch.iter() {
        let Some(list) = name.strip_prefix(SET_ELEMENT_ORDER) else { continue };
        let Value::Array(order) = order else {
            return Err(strategic("invalid patch format of setElementOrder list"));
        };
        let change = match patch.get(list) {
            None => None,
            Some(Value::Null) => {
                original.remove(list);
                continue;
            }
            Some(Value::Array(change)) => Some(change),
            Some(other) => return Err(not_a_list(other)),
        };
        let before = match original.remove(list) {
            None => None,
            Some(Value::Array(before)) => Some(before),
            Some(other) => return Err(not_a_list(&other)),
        };
        if let Some(ordered) = ordered(before, change, order, field(node, list))? {
            original.insert(list, Value::Array(ordered));
        }
    }
    Ok(())
}

fn not_a_list(value: &Value) -> PatchError {
    strategic(format!("expected a []interface {{}}, but received a {}", type_name(value)))
}

fn ordered(
    before: Option<Vec<Value>>,
    change: Option<&Vec<Value>>,
    order: &[Value],
    field: Option<&Field>,
) -> Result<Option<Vec<Value>>, PatchError> {
    let identity = field.and_then(|field| field.merge_key).map_or(Identity::Scalar, Identity::Key);
    if let Some(change) = change {
        check_order(change, order, identity)?;
    }
    let (merged, before) = match (before, change) {
        (None, None) => return Ok(None),
        (Some(before), None) => (before.clone(), before),
        (None, Some(change)) => (change.iter().filter_map(plain).collect(), Vec::new()),
        (Some(before), Some(change)) => (merge_list(before.clone(), change, field)?, before),
    };
    arrange(merged, order, &before, identity).map(Some)
}

/// The patch's own items must be in the order that it demands.
fn check_order(change: &[Value], order: &[Value], identity: Identity<'_>) -> Result<(), PatchError> {
    let mut rest = order.iter();
    for item in change.iter().filter(|item| !is_deleted(item)) {
        let key = identity.of(item)?;
        let found = rest.any(|other| identity.of(other).is_ok_and(|other| other == key));
        if !found {
            let mut message = "The order in patch list:\n".to_owned();
            super::directives::print(&Value::Array(change.to_vec()), &mut message);
            message.push_str("\n doesn't match $setElementOrder list:\n");
            super::directives::print(&Value::Array(order.to_vec()), &mut message);
            message.push('\n');
            return Err(strategic(message));
        }
    }
    Ok(())
}

fn is_deleted(item: &Value) -> bool {
    item.get(super::directives::PATCH).and_then(Value::as_str) == Some("delete")
}

/// Merges two lists, or takes the patch's where the schema does not say that they merge.
fn merge_list(
    original: Vec<Value>,
    patch: &[Value],
    field: Option<&Field>,
) -> Result<Vec<Value>, PatchError> {
    let Some(field) = field.filter(|field| field.strategy == Strategy::Merge) else {
        return Ok(patch.iter().filter_map(plain).collect());
    };
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let maps = original.iter().chain(patch).filter(|item| matches!(item, Value::Object(_))).count();
    if maps == 0 {
        return merge_scalars(original, patch);
    }
    if maps < original.len() + patch.len() {
        return Err(strategic("list element types are not identical"));
    }
    let Some(key) = field.merge_key else {
        return Err(strategic(format!("cannot merge lists without merge key for {}", field.name)));
    };
    let element = match field.node {
        Node::List(element) => Some(Schemas::builtin().element(element)),
        _ => None,
    };
    merge_maps(original, patch, key, element)
}

fn merge_scalars(mut original: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, PatchError> {
    if original.iter().chain(patch).any(|item| matches!(item, Value::Array(_))) {
        return Err(strategic("lists of lists are not supported"));
    }
    let before = original.clone();
    for item in patch {
        if !original.contains(item) {
            original.push(item.clone());
        }
    }
    arrange(original, patch, &before, Identity::Scalar)
}

fn merge_maps(
    original: Vec<Value>,
    patch: &[Value],
    key: &str,
    element: Option<Node>,
) -> Result<Vec<Value>, PatchError> {
    let identity = Identity::Key(key);
    let (mut merged, changes) = apply_item_directives(original, patch, identity)?;
    let before = merged.clone();
    for change in changes.iter() {
        let change_key = identity.of(change)?;
        match identity.position(&merged, change_key) {
            Some(at) => {
                let known = into_object(std::mem::take(&mut merged[at])).unwrap_or_default();
                let change = change.as_object().expect("the list holds only objects");
                merged[at] = Value::Object(merge_object(known, change, element)?);
            }
            None => merged.extend(plain(change)),
        }
    }
    arrange(merged, &changes, &before, identity)
}

/// Carries out `$patch` in items: deletes what they name, or drops all there was. Left are items to merge.
fn apply_item_directives<'a>(
    mut original: Vec<Value>,
    patch: &'a [Value],
    identity: Identity<'_>,
) -> Result<(Vec<Value>, Cow<'a, [Value]>), PatchError> {
    let objects = || patch.iter().filter_map(Value::as_object);
    if !objects().any(|item| item.contains(super::directives::PATCH)) {
        return Ok((original, Cow::Borrowed(patch)));
    }
    let mut replace = false;
    let mut changes = Vec::new();
    for item in patch {
        match item.as_object().map(directive).transpose()?.flatten() {
            None => changes.push(item.clone()),
            Some(Directive::Replace) => replace = true,
            Some(Directive::Merge) => {
                return Err(strategic("merging lists cannot yet be specified in the patch"));
            }
            Some(Directive::Delete) => {
                let doomed = identity.of(item)?;
                while let Some(at) = identity.position(&original, doomed) {
                    original.remove(at);
                }
            }
        }
    }
    if replace {
        let plain = changes.iter().filter_map(plain).collect();
        return Ok((plain, Cow::Owned(Vec::new())));
    }
    Ok((original, Cow::Owned(changes)))
}
