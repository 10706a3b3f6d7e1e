//! Objects in request bodies.

use wherry_schema::decode::{TypeMeta, decode, type_meta};
use wherry_schema::{FieldValidation, Format, Schema, Value};

use super::{Cx, schema};
use crate::error::Failure;
use crate::hex::hex;
use crate::object::Fields;
use crate::validation::{Errors, Path};

/// The kind a body must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl Expected<'_> {
    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Reads an object of the context's kind, complete with its defaults. The texts are warnings.
pub(crate) fn object(
    cx: &Cx<'_>,
    bytes: &[u8],
    format: Format,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    let expected = Expected { group: cx.kind.group, version: cx.kind.version, kind: cx.kind.kind };
    let (mut object, mut warnings) = match cx.custom {
        Some(_) => read_custom(cx, expected, bytes, (format, validation))?,
        None => read(expected, bytes, format, validation)?,
    };
    warnings.extend(name_owners_once(&mut object));
    complete(cx, &mut object);
    Ok((object, warnings))
}

/// Removes owners that are named a second time; the text is a warning.
fn name_owners_once(object: &mut Value) -> Option<String> {
    let owners = object.items("metadata.ownerReferences").to_vec();
    let (mut kept, mut twice): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for owner in owners {
        if kept.contains(&owner) {
            twice.push(owner.text("uid").to_owned());
        } else {
            kept.push(owner);
        }
    }
    if twice.is_empty() {
        return None;
    }
    object.put("metadata.ownerReferences", kept);
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
         reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        twice.join(", ")
    ))
}

/// Fills in kind, version and defaults.
pub(crate) fn complete(cx: &Cx<'_>, object: &mut Value) {
    object.put("kind", cx.kind.kind);
    object.put("apiVersion", cx.kind.api_version());
    if let Some(served) = cx.custom {
        return served.version().structural.complete(object);
    }
    wherry_schema::defaults::apply((cx.kind.group, cx.kind.version, cx.kind.kind), object);
}

/// Reads an object of a custom kind, which may say that it is another: that is an error of the object, not of the body.
fn read_custom(
    cx: &Cx<'_>,
    expected: Expected<'_>,
    bytes: &[u8],
    (format, validation): (Format, FieldValidation),
) -> Result<(Value, Vec<String>), Failure> {
    let meta = kind_of_body(expected.kind, bytes, format)?;
    let api_version = expected.api_version();
    if !meta.api_version.is_empty() && meta.api_version != api_version {
        return Err(other_version(&meta.api_version, &api_version));
    }
    let (object, warnings) = decode_as(expected, bytes, (format, validation), cx.schema()?)?;
    if !meta.kind.is_empty() && meta.kind != expected.kind {
        let mut errors = Errors::default();
        errors.invalid(&Path::new("kind"), meta.kind.as_str(), &format!("must be {}", expected.kind));
        return Err(Failure::invalid(cx.kind, crate::object::name(&object), errors));
    }
    Ok((object, warnings))
}

fn other_version(found: &str, expected: &str) -> Failure {
    Failure::BadRequest(format!(
        "the API version in the data ({found}) does not match the expected API version ({expected})"
    ))
}

fn kind_of_body(kind: &str, bytes: &[u8], format: Format) -> Result<TypeMeta, Failure> {
    type_meta(bytes, format).map_err(|e| {
        let why = match format {
            Format::Json => format!("couldn't get version/kind; json parse error: {e}"),
            Format::Yaml => e.to_string(),
        };
        unrecognized(kind, &why, bytes)
    })
}

fn decode_as(
    expected: Expected<'_>,
    bytes: &[u8],
    (format, validation): (Format, FieldValidation),
    schema: &Schema,
) -> Result<(Value, Vec<String>), Failure> {
    let Expected { kind, version, .. } = expected;
    decode(bytes, format, schema, validation).map_err(|e| {
        Failure::BadRequest(format!("{kind} in version {version:?} cannot be handled as a {kind}: {e}"))
    })
}

/// Reads an object of a kind.
pub(crate) fn read(
    expected: Expected<'_>,
    bytes: &[u8],
    format: Format,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    let meta = kind_of_body(expected.kind, bytes, format)?;
    check_type(expected, &meta, bytes)?;
    let schema = schema(expected.group, expected.version, expected.kind)?;
    decode_as(expected, bytes, (format, validation), schema)
}

fn unrecognized(kind: &str, why: &str, bytes: &[u8]) -> Failure {
    let shown = summarize(bytes);
    Failure::BadRequest(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
    ))
}

/// The first bytes of a body: text if it looks like JSON, digits otherwise.
fn summarize(bytes: &[u8]) -> String {
    const MOST: usize = 30;
    let head = &bytes[..bytes.len().min(MOST)];
    let text = match bytes.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => hex(head),
    };
    if bytes.len() > MOST { format!("{text} ...") } else { text }
}

/// Refuses an object that says it is something else. What it leaves out is taken from the URL.
fn check_type(expected: Expected<'_>, meta: &TypeMeta, bytes: &[u8]) -> Result<(), Failure> {
    let Expected { kind: wanted, .. } = expected;
    if meta.api_version.matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {}", meta.api_version);
        return Err(unrecognized(wanted, &why, bytes));
    }
    let api_version = expected.api_version();
    let same_version = meta.api_version.is_empty() || meta.api_version == api_version;
    if same_version && (meta.kind.is_empty() || meta.kind == wanted) {
        return Ok(());
    }
    let found = if meta.api_version.is_empty() { &api_version } else { &meta.api_version };
    let kind = if meta.kind.is_empty() { wanted } else { &meta.kind };
    let (group, version) = found.split_once('/').unwrap_or(("", found));
    let element = kind.strip_suffix("List").unwrap_or(kind);
    let known = wherry_api::kinds::by_kind(group, version, element).is_some();
    if known && kind == wanted {
        return Err(other_version(found, &api_version));
    }
    let why = if known {
        let package = if expected.group.is_empty() { "core" } else { expected.group };
        format!("converting ({version}.{kind}) to ({package}.{wanted}): unknown conversion")
    } else {
        format!(
            "no kind {kind:?} is registered for version {found:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    Err(Failure::BadRequest(format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}")))
}

/// The object must have the name that the URL has.
pub(crate) fn check_name(object: &Value, name: &str) -> Result<(), Failure> {
    let given = crate::object::name(object);
    if given.is_empty() {
        return Err(Failure::BadRequest(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if given != name {
        return Err(Failure::BadRequest(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// Puts the URL's namespace into an object, unless it names another.
pub(crate) fn settle_namespace(cx: &Cx<'_>, object: &mut Value) -> Result<(), Failure> {
    let given = object.text("metadata.namespace");
    if given.is_empty() {
        if cx.kind.namespaced {
            object.put("metadata.namespace", cx.namespace);
        }
        return Ok(());
    }
    if given != cx.namespace {
        return Err(Failure::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_named_once() {
        for (owners, left, warned) in [
            (r#"[{"uid":"a"},{"uid":"b"}]"#, 2, false),
            (r#"[{"uid":"a"},{"uid":"a","name":"n"}]"#, 2, false),
            (r#"[{"uid":"a"},{"uid":"a"}]"#, 1, true),
            ("[]", 0, false),
        ] {
            let mut object = Value::object();
            object.put("metadata.ownerReferences", Value::from_json(owners.as_bytes()).unwrap());
            let warning = name_owners_once(&mut object);
            assert_eq!(warning.is_some_and(|text| text.ends_with("observed: a")), warned, "{owners}");
            assert_eq!(object.items("metadata.ownerReferences").len(), left, "{owners}");
        }
    }

    #[test]
    fn a_body_is_shown_as_text_or_as_digits() {
        assert_eq!(summarize(b""), "<empty>");
        assert_eq!(summarize(b"[]"), "5b5d");
        assert_eq!(summarize(b"{nope}"), "{nope}");
        assert_eq!(
            summarize(br#"{"apiVersion":"a/b/c","kind":"ConfigMap"}"#),
            r#"{"apiVersion":"a/b/c","kind":" ..."#
        );
    }
}
