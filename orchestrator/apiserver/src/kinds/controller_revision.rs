//! ControllerRevision: a state that a workload was in, never changed.
//!
//! Upstream keeps the bytes of `data` as a client sent them and compares them as bytes. Patches and configurations
//! have no spaces between tokens, so they cannot change an object that was sent with some.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::values::{IMMUTABLE, non_negative};
use crate::validation::{Errors, Path};

/// The rules of ControllerRevisions.
pub(crate) struct ControllerRevision;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Controller", "string", "Controller of the object"),
    Column::of("Revision", "string", "apps.v1.ControllerRevision.revision"),
    table::AGE,
];

impl Rules for ControllerRevision {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        if !object.has("data") {
            errors.required(&Path::new("data"), "data is mandatory");
        }
        non_negative(object, &["revision"], &Path::default(), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "data") {
            refuse_data(object, errors);
        }
    }

    fn is_loose(&self, body: &[u8]) -> bool {
        serde_json::from_slice::<Sent<'_>>(body)
            .is_ok_and(|sent| sent.data.is_some_and(|data| has_spaces(data.get())))
    }

    fn check_looseness(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if object::same(object, old, "data") {
            refuse_data(object, errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let owners = object.items("metadata.ownerReferences");
        let controller = owners.iter().find(|owner| owner.flag("controller")).map(show);
        vec![
            table::name(object),
            controller.unwrap_or_else(|| "<none>".to_owned()).into(),
            table::number(object, "revision"),
            table::age(object, now),
        ]
    }
}

/// The part of a body that is kept as it was sent.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Whether JSON has spaces outside its strings.
fn has_spaces(json: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    json.bytes().any(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        quoted ^= ends;
        !quoted && byte.is_ascii_whitespace()
    })
}

fn refuse_data(object: &Value, errors: &mut Errors) {
    let data = object.field("data").unwrap_or(&Value::Null);
    errors.invalid(&Path::new("data"), data, IMMUTABLE);
}

/// `statefulset.apps/web`.
fn show(owner: &Value) -> String {
    let kind = owner.text("kind").to_lowercase();
    match owner.text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", owner.text("name")),
        None => format!("{kind}/{}", owner.text("name")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"data":{"a":1}}"#, false)]
    #[case(r#"{ "data": {"a":1} }"#, false)]
    #[case(r#"{"data": {"a": 1}}"#, true)]
    #[case(r#"{"data":{"a":" \\"}}"#, false)]
    #[case(r#"{"data":{"a":" \\\" ","b":"c d"}}"#, false)]
    #[case(r#"{"data":{"a":" \\\" ","b": 1}}"#, true)]
    #[case(r#"{"metadata": {"name": "a"}}"#, false)]
    #[case("data: {a: 1}", false)]
    fn spaces_are_seen_between_the_tokens_of_data(#[case] body: &str, #[case] loose: bool) {
        assert_eq!(ControllerRevision.is_loose(body.as_bytes()), loose, "{body}");
    }
}
