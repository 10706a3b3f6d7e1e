//! Bodies in protobuf, which typed clients send: those of `kubectl create`, `drain` and `auth`, controllers, test suites.
//!
//! A body becomes the JSON it stands for and goes on from there. A field that is not in the table of messages refuses
//! the request, so nothing is lost silently. Answers are never protobuf.

mod messages;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use wherry_schema::Value;

use messages::{Count, Field, Form, Messages, Other};
use wire::{Reader, Wire};

/// What a protobuf body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    /// It does not begin as such a body does.
    #[error("the body does not begin with the magic bytes of a Kubernetes protobuf message")]
    Magic,
    /// It ends early or holds what no encoder writes.
    #[error("the body is malformed")]
    Malformed,
    /// The kind is not one of those read in this form.
    #[error("{api_version} {kind} is not read as protobuf; send JSON")]
    Kind {
        /// Its version.
        api_version: String,
        /// Its name.
        kind: String,
    },
    /// A field that is not in the tables.
    #[error("field {number} of {message} is not read as protobuf; send JSON")]
    Field {
        /// Its number.
        number: u32,
        /// The type it belongs to.
        message: &'static str,
    },
}

/// How deep messages lie in each other at most; no object of a built-in kind needs half of it, but for schemas.
const DEPTH: usize = 200;

/// The JSON text of the object in a protobuf body.
pub(crate) fn to_json(body: &[u8]) -> Result<Bytes, ProtobufError> {
    let (api_version, kind, raw) = envelope(body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?)?;
    let unknown = || ProtobufError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let place = Messages::get().of_kind(api_version, kind).ok_or_else(unknown)?;
    let mut object = Value::object();
    message(raw, place, &mut object, 0)?;
    object.set(&["apiVersion"], api_version);
    object.set(&["kind"], kind);
    Ok(object.to_json_bytes().into())
}

/// What is around every object: its version, its kind, and its bytes.
fn envelope(body: &[u8]) -> Result<(&str, &str, &[u8]), ProtobufError> {
    let (mut meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => meta = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = ("", "");
    let mut reader = Reader::new(meta);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => api_version = text(wire)?,
            2 => kind = text(wire)?,
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok((api_version, kind, raw))
}

/// Adds the fields of a message to an object.
fn message(bytes: &[u8], place: u16, object: &mut Value, depth: usize) -> Result<(), ProtobufError> {
    let table = Messages::get().at(place);
    if depth > DEPTH {
        return Err(ProtobufError::Malformed);
    }
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        let field = table.fields.iter().find(|f| f.number == number);
        let field = field.ok_or(ProtobufError::Field { number, message: table.name })?;
        add(object, field, wire, depth)?;
    }
    Ok(())
}

fn add(object: &mut Value, field: &Field, wire: Wire<'_>, depth: usize) -> Result<(), ProtobufError> {
    let Some(name) = field.name else {
        let (Form::Message(inner), Wire::Bytes(bytes)) = (field.form, wire) else {
            return Err(ProtobufError::Malformed);
        };
        return message(bytes, inner, object, depth + 1);
    };
    if field.count == Count::Map {
        let (key, value) = entry(wire, field.form, depth)?;
        object.set(&[name, &key], value);
        return Ok(());
    }
    let value = value(field.form, wire, depth)?;
    match object.get_mut(name).and_then(Value::as_array_mut) {
        Some(items) if field.count == Count::List => items.push(value),
        _ if field.count == Count::List => object.set(&[name], vec![value]),
        _ if value.is_null() => {}
        _ => object.set(&[name], value),
    }
    Ok(())
}

fn text(wire: Wire<'_>) -> Result<&str, ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::Malformed) };
    std::str::from_utf8(bytes).map_err(|_| ProtobufError::Malformed)
}

fn value(form: Form, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (form, wire) {
        (Form::String, wire) => text(wire)?.into(),
        (Form::Int, Wire::Varint(number)) => number.cast_signed().into(),
        (Form::Bool, Wire::Varint(number)) => (number != 0).into(),
        (Form::Double, Wire::Fixed(bits)) => double(f64::from_bits(bits))?,
        (Form::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Form::Message(place), Wire::Bytes(bytes)) => {
            let mut object = Value::object();
            message(bytes, place, &mut object, depth + 1)?;
            object
        }
        (Form::Time, Wire::Bytes(bytes)) => time(bytes)?,
        (Form::Quantity, Wire::Bytes(bytes)) => quantity(bytes)?,
        (Form::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (Form::Raw, Wire::Bytes(bytes)) => raw(bytes)?,
        (Form::Strings, Wire::Bytes(bytes)) => strings(bytes)?,
        (Form::SchemaOr(other), Wire::Bytes(bytes)) => schema_or(bytes, other, depth)?,
        _ => return Err(ProtobufError::Malformed),
    })
}

/// A number; one that JSON cannot say is none.
fn double(number: f64) -> Result<Value, ProtobufError> {
    if number.is_finite() { Ok(Value::Float(number)) } else { Err(ProtobufError::Malformed) }
}

/// A time; an empty one is none.
fn time(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanos) = (None, 0);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(number)) => seconds = Some(number.cast_signed()),
            (2, Wire::Varint(number)) => nanos = number.cast_signed(),
            _ => return Err(ProtobufError::Malformed),
        }
    }
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let nanos = i32::try_from(nanos).map_err(|_| ProtobufError::Malformed)?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Malformed)?;
    Ok(time.to_string().into())
}

fn quantity(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut reader = Reader::new(bytes);
    let mut quantity = "";
    while let Some((number, wire)) = reader.next()? {
        quantity = if number == 1 { text(wire)? } else { return Err(ProtobufError::Malformed) };
    }
    Ok(quantity.into())
}

/// Which of the two it is, the number, the text.
fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut int, mut string) = (false, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(which)) => is_text = which == 1,
            (2, Wire::Varint(number)) => int = number.cast_signed(),
            (3, wire) => string = text(wire)?,
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok(if is_text { string.into() } else { int.into() })
}

/// JSON in bytes; without any, none.
fn raw(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut found: &[u8] = &[];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        let (1, Wire::Bytes(json)) = (number, wire) else { return Err(ProtobufError::Malformed) };
        found = json;
    }
    if found.is_empty() {
        return Ok(Value::Null);
    }
    Value::from_json(found).map_err(|_| ProtobufError::Malformed)
}

fn strings(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut items: Vec<Value> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        if number != 1 {
            return Err(ProtobufError::Malformed);
        }
        items.push(text(wire)?.into());
    }
    Ok(items.into())
}

/// A schema, or what may stand in its place.
fn schema_or(bytes: &[u8], other: Other, depth: usize) -> Result<Value, ProtobufError> {
    let schema = Messages::get().named("apiextensions.v1.JSONSchemaProps").ok_or(ProtobufError::Malformed)?;
    let (mut found, mut truth) = (None, false);
    let mut items: Vec<Value> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (other, number) {
            (Other::Bool, 1) => truth = value(Form::Bool, wire, depth)? == Value::Bool(true),
            (Other::Bool, 2) | (Other::Array | Other::Strings, 1) => {
                found = Some(value(Form::Message(schema), wire, depth)?);
            }
            (Other::Array, 2) => items.push(value(Form::Message(schema), wire, depth)?),
            (Other::Strings, 2) => items.push(text(wire)?.into()),
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok(match other {
        Other::Bool => found.unwrap_or(Value::Bool(truth)),
        Other::Array | Other::Strings => found.unwrap_or_else(|| items.into()),
    })
}

/// The key and value of an entry of a map.
fn entry(wire: Wire<'_>, form: Form, depth: usize) -> Result<(String, Value), ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::Malformed) };
    let (mut key, mut found) = ("", None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => key = text(wire)?,
            2 => found = Some(value(form, wire, depth)?),
            _ => return Err(ProtobufError::Malformed),
        }
    }
    let empty = || if matches!(form, Form::Message(_)) { Value::object() } else { "".into() };
    Ok((key.to_owned(), found.unwrap_or_else(empty)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Fields;
    use proptest::prelude::*;

    fn varint(mut number: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while number > 0x7f {
            out.push(u8::try_from(number & 0x7f | 0x80).unwrap());
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap());
        out
    }

    fn field(number: usize, bytes: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(bytes.len()), bytes.to_vec()].concat()
    }

    fn body(api_version: &[u8], kind: &[u8], raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version), field(2, kind)].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_config_map_becomes_json() {
        let metadata = [field(1, b"a"), field(8, b"")].concat();
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let raw = [field(1, &metadata), field(2, &entry)].concat();
        let json = to_json(&body(b"v1", b"ConfigMap", &raw)).unwrap();
        assert_eq!(
            json,
            r#"{"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a"}}"#
        );
    }

    #[test]
    fn a_field_that_is_not_known_is_not_lost_but_refused() {
        let raw = field(15, b"x");
        let error = to_json(&body(b"v1", b"ConfigMap", &raw)).unwrap_err();
        assert_eq!(error.to_string(), "field 15 of core.v1.ConfigMap is not read as protobuf; send JSON");
        let error = to_json(&body(b"example.com/v1", b"Own", b"")).unwrap_err();
        assert_eq!(error.to_string(), "example.com/v1 Own is not read as protobuf; send JSON");
    }

    #[test]
    fn a_port_is_a_number_or_a_name() {
        let port = |target: &[u8]| {
            let port = field(4, target);
            let spec = field(1, &port);
            to_json(&body(b"v1", b"Service", &field(2, &spec))).unwrap()
        };
        let number = String::from_utf8(port(&[0x08, 0, 0x10, 80]).to_vec()).unwrap();
        assert!(number.contains(r#""targetPort":80"#), "{number}");
        let name = [&[0x08, 1][..], &field(3, b"http")].concat();
        let name = String::from_utf8(port(&name).to_vec()).unwrap();
        assert!(name.contains(r#""targetPort":"http""#), "{name}");
    }

    #[test]
    fn schemas_stand_where_other_things_may() {
        let read = |props: &[u8]| {
            let version = [field(1, b"v1"), field(4, &field(1, props))].concat();
            let raw = field(2, &field(7, &version));
            let json = to_json(&body(b"apiextensions.k8s.io/v1", b"CustomResourceDefinition", &raw)).unwrap();
            let value = Value::from_json(&json).unwrap();
            value.items("spec.versions")[0].field("schema.openAPIV3Schema").unwrap().to_string()
        };
        let string = field(5, b"string");
        assert_eq!(read(&field(24, &field(1, &string))), r#"{"items":{"type":"string"}}"#);
        let both = [field(2, &string), field(2, b"")].concat();
        assert_eq!(read(&field(24, &both)), r#"{"items":[{"type":"string"},{}]}"#);
        let or_bool = [&[8, 1][..], &field(2, &string)].concat();
        assert_eq!(read(&field(30, &or_bool)), r#"{"additionalProperties":{"type":"string"}}"#);
        assert_eq!(read(&field(30, &[8, 1])), r#"{"additionalProperties":true}"#);
        assert_eq!(read(&field(8, &field(1, br#"{"a": [1]}"#))), r#"{"default":{"a":[1]}}"#);
        let half = [&[9 << 3 | 1][..], &0.5_f64.to_le_bytes()].concat();
        assert_eq!(read(&half), r#"{"maximum":0.5}"#);
    }

    #[test]
    fn a_volume_is_its_source_and_extra_is_lists() {
        let volume = [field(1, b"v"), field(2, &field(2, &field(1, b"Memory")))].concat();
        let json = to_json(&body(b"v1", b"Pod", &field(2, &field(1, &volume)))).unwrap();
        let expected = r#""spec":{"volumes":[{"emptyDir":{"medium":"Memory"},"name":"v"}]}"#;
        assert!(String::from_utf8_lossy(&json).contains(expected), "{json:?}");
        let extra = [field(1, b"k"), field(2, &[field(1, b"a"), field(1, b"b")].concat())].concat();
        let raw = field(3, &field(2, &field(4, &extra)));
        let json = to_json(&body(b"authentication.k8s.io/v1", b"TokenReview", &raw)).unwrap();
        assert!(String::from_utf8_lossy(&json).contains(r#"{"user":{"extra":{"k":["a","b"]}}}"#), "{json:?}");
    }

    #[test]
    fn messages_that_lie_too_deep_in_each_other_are_refused() {
        let mut props = Vec::new();
        for _ in 0..1000 {
            props = field(28, &props);
        }
        let raw = field(2, &field(7, &field(4, &field(1, &props))));
        let body = body(b"apiextensions.k8s.io/v1", b"CustomResourceDefinition", &raw);
        assert_eq!(to_json(&body), Err(ProtobufError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_json(&[MAGIC, &bytes].concat());
            let _ = to_json(&body(b"apps/v1", b"Deployment", &bytes[..bytes.len().min(100)]));
        }
    }
}
