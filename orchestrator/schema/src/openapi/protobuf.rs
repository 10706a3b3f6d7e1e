//! The document of version 2 in protobuf, which is what client-go asks for (gnostic's `openapi.v2.Document`).
//!
//! A message is a table of fields; what a table does not name is left out, as are names that begin with `x-` where a
//! message has no place for them. Values of any shape are carried as JSON text, which is YAML.

mod messages;

use serde_json::{Map, Value};

use self::messages::{Chosen, DOCUMENT, Kind, Message, SCHEMA};

/// The document in protobuf; empty if it is no JSON object.
pub fn document(json: &[u8]) -> Vec<u8> {
    let document: Value = serde_json::from_slice(json).unwrap_or_default();
    let mut out = Vec::new();
    message(&mut out, &DOCUMENT, &document);
    out
}

fn message(out: &mut Vec<u8>, message: &'static Message, value: &Value) {
    let Value::Object(map) = value else { return };
    for (name, number, kind) in message.fields {
        if let Some(value) = map.get(*name) {
            field(out, *number, kind, value);
        }
    }
    if let Some(number) = message.extensions {
        extensions(out, number, map);
    }
}

fn extensions(out: &mut Vec<u8>, number: u32, map: &Map<String, Value>) {
    named(out, number, map.iter().filter(|(name, _)| is_extension(name)), |out, value| any(out, 2, value));
}

fn is_extension(name: &str) -> bool {
    name.starts_with("x-")
}

fn field(out: &mut Vec<u8>, number: u32, kind: &Kind, value: &Value) {
    let list = || value.as_array().into_iter().flatten();
    let map = || value.as_object().into_iter().flatten();
    match kind {
        Kind::Text => text(out, number, value),
        Kind::Texts => list().for_each(|value| text(out, number, value)),
        Kind::Flag => flag(out, number, value.as_bool().unwrap_or_default()),
        Kind::Integer => integer(out, number, value),
        Kind::Number => {
            tag(out, number, 1);
            out.extend(value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Kind::Any => any(out, number, value),
        Kind::Anys => list().for_each(|value| any(out, number, value)),
        Kind::One(of) => nested(out, number, |out| message(out, of, value)),
        Kind::Many(of) => list().for_each(|value| nested(out, number, |out| message(out, of, value))),
        Kind::Named(of) => nested(out, number, |out| {
            named(out, 1, map(), |out, value| nested(out, 2, |out| message(out, of, value)));
        }),
        Kind::Choice(choose) => nested(out, number, |out| chosen(out, choose(value), value)),
        Kind::Choices(choose) => {
            list().for_each(|value| nested(out, number, |out| chosen(out, choose(value), value)));
        }
        Kind::NamedChoices(choose) => nested(out, number, |out| {
            named(out, 1, map(), |out, value| nested(out, 2, |out| chosen(out, choose(value), value)));
        }),
        Kind::Open { entries, extensions, choose } => nested(out, number, |out| {
            let Value::Object(map) = value else { return };
            self::extensions(out, *extensions, map);
            let own = map.iter().filter(|(name, _)| !is_extension(name));
            named(out, *entries, own, |out, value| nested(out, 2, |out| chosen(out, choose(value), value)));
        }),
        Kind::Types => nested(out, number, |out| {
            text(out, 1, value);
            list().for_each(|value| text(out, 1, value));
        }),
        Kind::Items => nested(out, number, |out| nested(out, 1, |out| message(out, &SCHEMA, value))),
        Kind::Requirements => list().for_each(|value| nested(out, number, |out| requirement(out, value))),
    }
}

fn requirement(out: &mut Vec<u8>, value: &Value) {
    named(out, 1, value.as_object().into_iter().flatten(), |out, scopes| {
        nested(out, 2, |out| scopes.as_array().into_iter().flatten().for_each(|scope| text(out, 1, scope)));
    });
}

fn chosen(out: &mut Vec<u8>, chosen: Chosen, value: &Value) {
    match chosen {
        Chosen::Flag(number, on) => flag(out, number, on),
        Chosen::Message(&[], of) => message(out, of, value),
        Chosen::Message(&[number, ref inner @ ..], of) => {
            nested(out, number, |out| self::chosen(out, Chosen::Message(inner, of), value));
        }
    }
}

/// Entries with a name (1); `write` adds the value (2).
fn named<'v>(
    out: &mut Vec<u8>,
    number: u32,
    entries: impl Iterator<Item = (&'v String, &'v Value)>,
    write: impl Fn(&mut Vec<u8>, &'v Value),
) {
    for (name, value) in entries {
        nested(out, number, |entry| {
            bytes(entry, 1, name.as_bytes());
            write(entry, value);
        });
    }
}

fn any(out: &mut Vec<u8>, number: u32, value: &Value) {
    nested(out, number, |out| bytes(out, 2, value.to_string().as_bytes()));
}

fn text(out: &mut Vec<u8>, number: u32, value: &Value) {
    if let Some(text) = value.as_str() {
        bytes(out, number, text.as_bytes());
    }
}

fn flag(out: &mut Vec<u8>, number: u32, on: bool) {
    tag(out, number, 0);
    out.push(u8::from(on));
}

fn integer(out: &mut Vec<u8>, number: u32, value: &Value) {
    let Some(integer) = value.as_i64() else { return };
    tag(out, number, 0);
    varint(out, integer.cast_unsigned());
}

fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, number, &inner);
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn tag(out: &mut Vec<u8>, number: u32, wire: u32) {
    varint(out, u64::from(number << 3 | wire));
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::messages::parameters_item;
    use super::*;

    #[test]
    fn fields_are_written_as_gnostic_reads_them() {
        let schema = json!({
            "type": "object", "required": ["a"], "x-kubernetes-group-version-kind": [{"kind": "A"}],
            "additionalProperties": {"$ref": "#/b"},
        });
        let mut out = Vec::new();
        message(&mut out, &SCHEMA, &schema);
        let expected = [
            b"\x9a\x01\x01a".as_slice(),
            b"\xaa\x01\x07\x0a\x05\x0a\x03#/b",
            b"\xb2\x01\x08\x0a\x06object",
            b"\xfa\x01\x33\x0a\x1fx-kubernetes-group-version-kind\x12\x10\x12\x0e[{\"kind\":\"A\"}]",
        ];
        assert_eq!(out, expected.concat(), "{}", out.escape_ascii());
    }

    #[test]
    fn a_parameter_is_the_union_member_of_its_place() {
        let mut out = Vec::new();
        let path = json!({"name": "n", "in": "path", "required": true});
        chosen(&mut out, parameters_item(&path), &path);
        assert_eq!(out, b"\x0a\x0f\x12\x0d\x22\x0b\x08\x01\x12\x04path\x22\x01n");
    }

    #[test]
    fn numbers_are_of_variable_length() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        integer(&mut out, 1, &json!(-1));
        assert_eq!(out, [&[0xac, 2, 8][..], &[0xff; 9], &[1]].concat());
    }
}
