//! Bodies in protobuf, which the typed clients of `kubectl create` and `kubectl drain` send and will not do without.
//!
//! A body becomes the JSON it stands for and goes on from there. Only kinds such clients make are known; a field that
//! is not in the tables refuses the request, so nothing is lost silently. Answers are never protobuf.

mod tables;
mod wire;

use bytes::Bytes;
use jiff::Timestamp;
use wherry_schema::Value;

use crate::object::Fields;
use tables::{Field, Message, Type, message_of};
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

/// The JSON text of the object in a protobuf body.
pub(crate) fn to_json(body: &[u8]) -> Result<Bytes, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let envelope = message(envelope, &tables::ENVELOPE)?;
    let (api_version, kind) = (envelope.text("typeMeta.apiVersion"), envelope.text("typeMeta.kind"));
    let unknown = || ProtobufError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let raw = raw(body).ok_or(ProtobufError::Malformed)?;
    let mut object = message(raw, message_of(api_version, kind).ok_or_else(unknown)?)?;
    object.put("apiVersion", api_version);
    object.put("kind", kind);
    Ok(object.to_json_bytes().into())
}

/// The bytes of the object itself.
fn raw(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(&body[MAGIC.len()..]);
    let mut found: &[u8] = &[];
    while let Some((number, wire)) = reader.next().ok()? {
        if let (2, Wire::Bytes(bytes)) = (number, wire) {
            found = bytes;
        }
    }
    Some(found)
}

fn message(bytes: &[u8], table: &'static Message) -> Result<Value, ProtobufError> {
    let mut object = Value::object();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        let field = table.fields.iter().find(|f| f.number == number);
        let field = field.ok_or(ProtobufError::Field { number, message: table.name })?;
        add(&mut object, field, wire)?;
    }
    Ok(object)
}

fn add(object: &mut Value, field: &'static Field, wire: Wire<'_>) -> Result<(), ProtobufError> {
    if let Type::Map(kind) = field.kind {
        let (key, value) = entry(wire, kind)?;
        object.set(&[field.name, &key], value);
        return Ok(());
    }
    let value = value(field.kind, wire)?;
    if !field.repeated {
        if !value.is_null() {
            object.set(&[field.name], value);
        }
        return Ok(());
    }
    match object.get_mut(field.name).and_then(Value::as_array_mut) {
        Some(items) => items.push(value),
        None => object.set(&[field.name], vec![value]),
    }
    Ok(())
}

fn text(wire: Wire<'_>) -> Result<String, ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::Malformed) };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ProtobufError::Malformed)
}

fn value(kind: Type, wire: Wire<'_>) -> Result<Value, ProtobufError> {
    use base64::Engine;
    Ok(match (kind, wire) {
        (Type::String, wire) => text(wire)?.into(),
        (Type::Int, Wire::Varint(number)) => number.cast_signed().into(),
        (Type::Bool, Wire::Varint(number)) => (number != 0).into(),
        (Type::Bytes, Wire::Bytes(bytes)) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        (Type::Message(table), Wire::Bytes(bytes)) => message(bytes, table)?,
        (Type::Time, Wire::Bytes(bytes)) => time(&message(bytes, &tables::TIME)?)?,
        (Type::Quantity, Wire::Bytes(bytes)) => {
            message(bytes, &tables::QUANTITY)?.take("string").unwrap_or_default()
        }
        (Type::IntOrString, Wire::Bytes(bytes)) => {
            let mut parts = message(bytes, &tables::INT_OR_STRING)?;
            let field = if parts.int("type") == Some(1) { "strVal" } else { "intVal" };
            parts.take(field).unwrap_or_else(|| 0.into())
        }
        _ => return Err(ProtobufError::Malformed),
    })
}

/// A time; an empty one is none.
fn time(parts: &Value) -> Result<Value, ProtobufError> {
    let Some(seconds) = parts.int("seconds") else { return Ok(Value::Null) };
    let nanos = i32::try_from(parts.int("nanos").unwrap_or(0)).map_err(|_| ProtobufError::Malformed)?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Malformed)?;
    Ok(time.to_string().into())
}

/// The key and value of an entry of a map.
fn entry(wire: Wire<'_>, kind: &'static Type) -> Result<(String, Value), ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::Malformed) };
    let (mut key, mut found) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => key = text(wire)?,
            2 => found = Some(value(*kind, wire)?),
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok((key, found.unwrap_or_else(|| "".into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
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
        assert_eq!(error.to_string(), "field 15 of ConfigMap is not read as protobuf; send JSON");
        let error = to_json(&body(b"v1", b"Node", b"")).unwrap_err();
        assert_eq!(error.to_string(), "v1 Node is not read as protobuf; send JSON");
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

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_json(&[MAGIC, &bytes].concat());
            let _ = to_json(&body(b"apps/v1", b"Deployment", &bytes[..bytes.len().min(100)]));
        }
    }
}
