//! What a conversion webhook may change: everything but the identity of an object and its metadata, of which only labels
//! and annotations are taken.

use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::{Errors, Path, meta};

/// Makes an object what a webhook made of it. An error says what the webhook returned instead.
pub(super) fn restore(original: &mut Value, mut converted: Value, api_version: &str) -> Result<(), String> {
    check_kind(original, &converted, api_version)?;
    check_identity(original, &converted).map_err(|why| format!("invalid object: {why}"))?;
    let metadata = metadata(original, &converted).map_err(|why| format!("invalid metadata: {why}"))?;
    converted.assign("metadata", Some(metadata.into()));
    *original = converted;
    Ok(())
}

fn check_kind(original: &Value, converted: &Value, api_version: &str) -> Result<(), String> {
    let kind = converted.text("kind");
    if kind.is_empty() {
        return Err(format!("invalid object at index 0: Object 'Kind' is missing in '{converted}'"));
    }
    let received = converted.text("apiVersion");
    if received != api_version {
        return Err(format!(
            "invalid object at index 0: invalid groupVersion (expected {api_version}, received {received})"
        ));
    }
    let expected = original.text("kind");
    if kind != expected {
        return Err(format!(
            "invalid object at index 0: invalid kind (expected {expected}, received {kind})"
        ));
    }
    Ok(())
}

fn check_identity(original: &Value, converted: &Value) -> Result<(), String> {
    let fields = [("name", "metadata.name"), ("namespace", "metadata.namespace"), ("UID", "metadata.uid")];
    for (called, field) in fields {
        let (expected, received) = (original.text(field), converted.text(field));
        if expected != received {
            return Err(format!("must have the same {called}: {expected} != {received}"));
        }
    }
    Ok(())
}

/// The metadata of an object, with the labels and annotations of what it was converted to.
fn metadata(original: &Value, converted: &Value) -> Result<Object, String> {
    let told = converted.get("metadata").ok_or("missing metadata in converted object")?;
    let told = told
        .as_object()
        .ok_or_else(|| format!("invalid metadata of type {} in converted object", told.go_type()))?;
    let mut metadata = original.map("metadata").cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        match told.get(field) {
            None | Some(Value::Null) => {
                metadata.remove(field);
            }
            Some(value) => {
                check_map(field, value, metadata.get(field))?;
                metadata.insert(field, value.clone());
            }
        }
    }
    Ok(metadata)
}

/// Labels and annotations are texts, and follow their rules if they changed.
fn check_map(field: &str, value: &Value, before: Option<&Value>) -> Result<(), String> {
    let map = value
        .as_object()
        .ok_or_else(|| format!("invalid metadata.{field} of type {} in converted object", value.go_type()))?;
    if let Some((key, value)) = map.iter().find(|(_, value)| value.as_str().is_none()) {
        let found = value.go_type();
        return Err(format!("metadata.{field}[{key}] must be a string, but is {found} in converted object"));
    }
    if before == Some(value) {
        return Ok(());
    }
    let mut errors = Errors::default();
    if field == "labels" {
        meta::check_labels(Some(map), &Path::new("metadata.labels"), &mut errors);
    } else {
        meta::check_annotations(Some(map), &Path::new("metadata.annotation"), &mut errors);
    }
    let mut texts: Vec<String> = Vec::new();
    for cause in errors.causes() {
        let text = format!("{}: {}", cause.field, cause.message);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        more => Err(format!("[{}]", more.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const OLD: &str = r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"n","uid":"u","labels":{"a":"b"},
        "generation":3},"spec":{"x":1}}"#;

    fn restored(new: &str) -> Result<String, String> {
        let mut object = Value::from_json(OLD.as_bytes()).unwrap();
        let converted = Value::from_json(new.as_bytes()).unwrap();
        restore(&mut object, converted, "g/v2").map(|()| object.to_string())
    }

    #[test]
    fn metadata_stays_but_for_labels_and_annotations() {
        let new = r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"n","uid":"u","annotations":{"c":"d"},
            "generation":9,"finalizers":["a/b"]},"spec":{"y":1}}"#;
        let expected = r#"{"apiVersion":"g/v2","kind":"K","metadata":{"annotations":{"c":"d"},"generation":3,"name":"n","uid":"u"},"spec":{"y":1}}"#;
        assert_eq!(restored(new).unwrap(), expected);
    }

    #[rstest]
    #[case(
        r#"{"apiVersion":"g/v1","kind":"K"}"#,
        "object at index 0: invalid groupVersion (expected g/v2, received g/v1)"
    )]
    #[case(r#"{"apiVersion":"g/v2","kind":"L"}"#, "object at index 0: invalid kind (expected K, received L)")]
    #[case(
        r#"{"apiVersion":"g/v2"}"#,
        r#"object at index 0: Object 'Kind' is missing in '{"apiVersion":"g/v2"}'"#
    )]
    #[case(
        r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"m"}}"#,
        "object: must have the same name: n != m"
    )]
    #[case(
        r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"n","uid":"u","labels":[]}}"#,
        "metadata: invalid metadata.labels of type []interface {} in converted object"
    )]
    #[case(
        r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"n","uid":"u","labels":{"a":1}}}"#,
        "metadata: metadata.labels[a] must be a string, but is int64 in converted object"
    )]
    fn what_must_stay_stays(#[case] new: &str, #[case] why: &str) {
        assert_eq!(restored(new).unwrap_err(), format!("invalid {why}"));
    }

    proptest! {
        #[test]
        fn any_metadata_is_taken_or_refused(labels in r#"(\{"[a-z/.]{0,4}":("[a-z]{0,3}"|1|null)\}|null|\[\]|"x")"#) {
            let new = format!(
                r#"{{"apiVersion":"g/v2","kind":"K","metadata":{{"name":"n","uid":"u","labels":{labels}}}}}"#
            );
            let _ = restored(&new);
        }
    }
}
