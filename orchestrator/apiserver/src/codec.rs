//! The stored form of an object, and how answers are cut from it without decoding.
//!
//! Stored bytes are canonical JSON that begins
//! `{"kind":"K","apiVersion":"V","metadata":{"resourceVersion":"N"`. The store inserts N at a fixed offset, so
//! another revision can be written over it, and the items of a list are the bytes after the kind and version.

use bytes::{BufMut, Bytes, BytesMut};
use wherry_api::kinds::Kind;
use wherry_schema::{Format, Object, Str, Value};
use wherry_store::{Entry, Op};

use crate::error::Failure;
use crate::object::Fields;

/// An object as it goes into the store.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// The bytes, with nothing where the revision goes.
    pub(crate) bytes: Bytes,
    /// Where the revision goes.
    pub(crate) revision_at: usize,
}

impl Encoded {
    /// The bytes with their revision.
    pub(crate) fn at(&self, revision: u64) -> Bytes {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(revision);
        let mut out = BytesMut::with_capacity(self.bytes.len() + digits.len());
        out.put_slice(&self.bytes[..self.revision_at]);
        out.put_slice(digits.as_bytes());
        out.put_slice(&self.bytes[self.revision_at..]);
        out.freeze()
    }

    /// The same object, remembering that its client wrote it with spaces: see [`is_loose`].
    pub(crate) fn loose(mut self) -> Self {
        let (body, end) = self.bytes.split_at(self.bytes.len() - 1);
        self.bytes = [body, end].join(&b' ').into();
        self
    }
}

/// Whether the client that wrote an object put spaces where they change nothing. Few kinds remember it, by a space
/// before the last brace.
pub(crate) fn is_loose(stored: &[u8]) -> bool {
    stored.ends_with(b" }")
}

/// `{"kind":"K","apiVersion":"V"`: what list items leave out.
fn identity(kind: &str, api_version: &str) -> String {
    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\"")
}

/// Whether stored bytes are of exactly this kind and version.
pub(crate) fn is_of(kind: &Kind, stored: &[u8]) -> bool {
    stored.starts_with(identity(kind.kind, &kind.api_version()).as_bytes())
}

/// Encodes an object for the store; the resourceVersion it holds is not kept.
pub(crate) fn encode(kind: &str, api_version: &str, object: &Value) -> Encoded {
    let mut out = identity(kind, api_version).into_bytes();
    out.extend_from_slice(b",\"metadata\":{\"resourceVersion\":\"");
    let revision_at = out.len();
    out.push(b'"');
    if let Some(metadata) = object.map("metadata") {
        write_fields(&mut out, metadata, &["resourceVersion"]);
    }
    out.push(b'}');
    write_rest(&mut out, object);
    Encoded { bytes: out.into(), revision_at }
}

/// Encodes an object that is in no store (a dry run) with whatever resourceVersion it holds.
pub(crate) fn encode_loose(kind: &str, api_version: &str, object: &Value) -> Bytes {
    let mut out = identity(kind, api_version).into_bytes();
    out.extend_from_slice(b",\"metadata\":");
    object.field("metadata").unwrap_or(&Value::object()).write_json(&mut out);
    write_rest(&mut out, object);
    out.into()
}

fn write_rest(out: &mut Vec<u8>, object: &Value) {
    if let Some(fields) = object.as_object() {
        write_fields(out, fields, &["kind", "apiVersion", "metadata"]);
    }
    out.push(b'}');
}

fn write_fields(out: &mut Vec<u8>, fields: &Object, except: &[&str]) {
    for (name, value) in fields.iter().filter(|(name, _)| !except.contains(&name.as_str())) {
        out.push(b',');
        Value::String(Str::clone(name)).write_json(out);
        out.push(b':');
        value.write_json(out);
    }
}

/// Decodes stored bytes.
pub(crate) fn decode(key: &str, bytes: &[u8]) -> Result<Value, Failure> {
    Value::from_json(bytes).map_err(|e| Failure::corrupt(key, &e))
}

/// Reads a document in YAML or JSON, strictly: what it says twice or cannot mean is an error that says where.
pub fn from_yaml(text: &[u8]) -> Result<serde_json::Value, String> {
    let value = wherry_schema::decode::parse(text, Format::Yaml).map_err(|error| error.to_string())?;
    Ok(value.into())
}

/// The write that changes nothing of a stored object but its resourceVersion.
pub fn rewrite(entry: &Entry) -> Op {
    let digits = entry.mod_revision.to_string();
    let mark = format!("\"resourceVersion\":\"{digits}\"");
    let found = entry.value.windows(mark.len()).position(|window| window == mark.as_bytes());
    let (value, revision_at) = match found {
        Some(at) => {
            let at = at + mark.len() - digits.len() - 1;
            ([&entry.value[..at], &entry.value[at + digits.len()..]].concat().into(), Some(at))
        }
        None => (entry.value.clone(), None),
    };
    Op::Put { key: entry.key.to_string(), value, revision_at }
}

/// The lengths that answers of a kind are cut by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    identity: usize,
    revision_at: usize,
}

impl Cut {
    /// The lengths for the stored form of a kind.
    pub(crate) fn of(kind: &Kind) -> Self {
        let identity = identity(kind.kind, &kind.api_version()).len();
        Self { identity, revision_at: identity + ",\"metadata\":{\"resourceVersion\":\"".len() }
    }

    /// Appends an object as an item of a list: without kind and version.
    pub(crate) fn write_item(self, out: &mut BytesMut, stored: &[u8]) {
        out.put_u8(b'{');
        out.put_slice(&stored[self.identity + 1..]);
    }

    /// The object with another revision, as the end of an object is reported.
    pub(crate) fn with_revision(self, stored: &[u8], revision: u64) -> Bytes {
        let tail = &stored[self.revision_at..];
        let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
        let mut out = BytesMut::with_capacity(stored.len() + 4);
        out.put_slice(&stored[..self.revision_at]);
        out.put_slice(itoa::Buffer::new().format(revision).as_bytes());
        out.put_slice(&tail[digits..]);
        out.freeze()
    }
}

/// The storage key of an object.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    if kind.namespaced {
        format!("/registry/{}/{namespace}/{name}", kind.storage)
    } else {
        format!("/registry/{}/{name}", kind.storage)
    }
}

/// The prefix of a kind's keys, of one namespace or of all.
pub(crate) fn prefix(kind: &Kind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if kind.namespaced => format!("/registry/{}/{namespace}/", kind.storage),
        _ => format!("/registry/{}/", kind.storage),
    }
}

/// The namespace (empty if cluster-scoped) and name in a key of this kind.
pub(crate) fn split_key<'k>(kind: &Kind, key: &'k str) -> (&'k str, &'k str) {
    let rest = key.get("/registry/".len() + kind.storage.len() + 1..).unwrap_or_default();
    if kind.namespaced { rest.split_once('/').unwrap_or(("", rest)) } else { ("", rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_api::kinds;

    fn config_map() -> (&'static Kind, Value) {
        let json = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"7"},"data":{"x":"y"}}"#;
        (kinds::by_kind("", "v1", "ConfigMap").unwrap(), Value::from_json(json).unwrap())
    }

    #[test]
    fn the_revision_goes_where_the_cut_expects_it() {
        let (kind, object) = config_map();
        let encoded = encode(kind.kind, "v1", &object);
        assert_eq!(encoded.revision_at, Cut::of(kind).revision_at);
        let stored = encoded.at(12);
        assert_eq!(
            stored,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"12","name":"a"},"data":{"x":"y"}}"#
        );
        assert_eq!(Cut::of(kind).with_revision(&stored, 1345), encoded.at(1345));
    }

    #[test]
    fn a_list_item_has_neither_kind_nor_version() {
        let (kind, object) = config_map();
        let mut out = BytesMut::new();
        Cut::of(kind).write_item(&mut out, &encode(kind.kind, "v1", &object).at(3));
        assert_eq!(out, r#"{"metadata":{"resourceVersion":"3","name":"a"},"data":{"x":"y"}}"#);
    }

    #[test]
    fn keys_are_split_into_what_they_were_made_of() {
        let (kind, _) = config_map();
        assert_eq!(split_key(kind, &key(kind, "ns", "n.x")), ("ns", "n.x"));
        let node = kinds::by_kind("", "v1", "Node").unwrap();
        assert_eq!(split_key(node, &key(node, "", "n1")), ("", "n1"));
    }
}
