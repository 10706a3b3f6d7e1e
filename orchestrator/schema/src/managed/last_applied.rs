//! The way from client-side to server-side apply: kubectl's annotation with the last applied configuration.
//!
//! What an object still holds as kubectl last applied it is no conflict for kubectl, and the annotation is kept up to
//! date so that the way back stays open. Other managers opt out by their name.

use super::compare::compare;
use super::element::write_escaped;
use super::listing::fields_of;
use super::owners::Write;
use super::set::Set;
use super::validate::validate;
use crate::value::{Object, Value};

/// The only manager that this is done for.
pub(super) const MANAGER: &str = "kubectl";

const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most bytes that all annotations of an object may have.
const MOST_BYTES: usize = 256 * 1024;

fn last_applied(object: &Value) -> Option<&str> {
    object.at(&ANNOTATIONS)?.get(ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

/// The fields that the object holds as they were last applied on the client's side.
pub(super) fn unchanged(live: &Value, write: &Write<'_>) -> Option<Set> {
    let config = Value::from_json(last_applied(live)?.as_bytes()).ok()?;
    if config.get("apiVersion").and_then(Value::as_str) != Some(write.api_version) {
        return None;
    }
    validate(&config, write.schema).ok()?;
    let changed = compare(&config, live, write.schema).ok()?;
    let mut fields = fields_of(&config, write.schema);
    fields.subtract(&changed.modified);
    fields.subtract(&changed.added);
    fields.subtract(&changed.removed);
    Some(fields)
}

/// The result of an apply with the annotation, where the object has one, saying what has been applied.
pub(super) fn refresh(live: &Value, result: Option<Value>, config: &Value) -> Option<Value> {
    if last_applied(result.as_ref().unwrap_or(live)).is_none() {
        return result;
    }
    let mut config = config.clone();
    if let Some(annotations) = config.at_mut(&ANNOTATIONS).and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
        if annotations.is_empty() {
            config.remove(&ANNOTATIONS);
        }
    }
    let mut object = result.unwrap_or_else(|| live.clone());
    let annotations = object.at_mut(&ANNOTATIONS)?.as_object_mut()?;
    annotations.insert(ANNOTATION, text(&config));
    if size(annotations) > MOST_BYTES {
        annotations.remove(ANNOTATION);
    }
    Some(object)
}

/// The configuration as kubectl writes it, line break included.
fn text(config: &Value) -> String {
    let mut text = Vec::new();
    write_escaped(config, &mut text);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn size(annotations: &Object) -> usize {
    annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
}
