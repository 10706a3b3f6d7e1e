//! Merge patch (RFC 7386): objects merge, null removes, everything else replaces.

use super::{PatchError, type_name};
use crate::value::{Object, Str, Value};

/// Applies a merge patch, which must be an object.
pub fn merge_patch(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        let expected = "map[string]interface {}";
        return Err(PatchError::Shape { found: type_name(patch), expected });
    };
    merge_into(target, patch);
    Ok(())
}

fn merge_into(target: &mut Value, patch: &Object) {
    let before = std::mem::take(target.make_object());
    *target = Value::Object(merged(before, patch));
}

/// Both objects are sorted, so that one pass over the two merges them.
fn merged(before: Object, patch: &Object) -> Object {
    let mut fields: Vec<(Str, Value)> = Vec::with_capacity(before.len() + patch.len());
    let mut old = before.into_iter().peekable();
    for (name, change) in patch.iter() {
        while let Some(field) = old.next_if(|(known, _)| known < name) {
            fields.push(field);
        }
        let known = old.next_if(|(known, _)| known == name);
        if change.is_null() {
            continue;
        }
        let (name, mut value) = known.unwrap_or_else(|| (name.clone(), Value::Null));
        match change {
            Value::Object(change) => merge_into(&mut value, change),
            change => value = change.clone(),
        }
        fields.push((name, value));
    }
    fields.extend(old);
    Object::from_fields(fields)
}
