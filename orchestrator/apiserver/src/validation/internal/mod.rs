//! Values as upstream's error texts show them: the fields of its internal types, by their Go names and in the order
//! of their declaration, with zeros and nulls for what is missing.
//!
//! `types.txt` is the table of the types; [`diff`] says how two such values differ.

mod diff;

use std::collections::HashMap;
use std::sync::LazyLock;

use wherry_schema::{Object, Value};

use super::Shown;
use crate::object::Fields;

/// What a field holds, and so what stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
    Quantity,
    Any,
    Struct(&'static str),
    Pointer(&'static str),
    List(&'static str),
    /// The fields of the metadata, as they are.
    Metadata,
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    json: String,
    /// Whether the field is one of the object around.
    outside: bool,
    kind: Kind,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let lines = include_str!("types.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, fields)| (name, parse(fields))).collect()
});

fn parse(fields: &'static str) -> Vec<Field> {
    fields.split(' ').map(field).collect()
}

fn field(text: &'static str) -> Field {
    if text == "@metadata" {
        return Field { name: "", json: "metadata".to_owned(), outside: false, kind: Kind::Metadata };
    }
    let end =
        text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '=' | '^')).unwrap_or(text.len());
    let (names, rest) = text.split_at(end);
    let kind = match rest {
        "\"" => Kind::Text,
        "#" => Kind::Number,
        "?" => Kind::Truth,
        "/" => Kind::Quantity,
        "*" => Kind::Any,
        _ if rest.starts_with("->") => Kind::Pointer(&rest[2..]),
        _ if rest.starts_with("[]") => Kind::List(&rest[2..]),
        _ => Kind::Struct(rest.trim_start_matches(':')),
    };
    let (name, json) = names.split_once('=').unwrap_or((names, ""));
    let outside = json.starts_with('^');
    let json = match json.trim_start_matches('^') {
        "" => lowered(name),
        given => given.to_owned(),
    };
    Field { name, json, outside, kind }
}

fn lowered(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}

/// Writes JSON, in one line or over many.
struct Writer {
    out: String,
    /// The depth, if lines are broken.
    depth: Option<usize>,
}

impl Writer {
    fn line(&mut self) {
        if let Some(depth) = self.depth {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn shift(&mut self, by: isize) {
        self.depth = self.depth.map(|depth| depth.saturating_add_signed(by));
    }

    fn key(&mut self, first: &mut bool, name: &str) {
        if !std::mem::take(first) {
            self.out.push(',');
        }
        self.line();
        self.out.push_str(&Value::from(name).to_string());
        self.out.push(':');
        if self.depth.is_some() {
            self.out.push(' ');
        }
    }

    /// An object or list: brackets around what `inside` writes, if it writes anything.
    fn block(&mut self, brackets: [char; 2], inside: impl FnOnce(&mut Self) -> bool) {
        self.out.push(brackets[0]);
        self.shift(1);
        let some = inside(self);
        self.shift(-1);
        if some {
            self.line();
        }
        self.out.push(brackets[1]);
    }

    fn structure(&mut self, kind: &str, value: Option<&Value>, around: Option<&Value>) {
        let fields = TYPES.get(kind).map_or(&[][..], Vec::as_slice);
        self.block(['{', '}'], |writer| {
            let mut first = true;
            for field in fields {
                let holder = if field.outside { around } else { value };
                let found = holder.and_then(|holder| holder.field(&field.json));
                if field.kind == Kind::Metadata {
                    writer.entries(found.and_then(Value::as_object), &mut first);
                } else {
                    writer.key(&mut first, field.name);
                    writer.field(field.kind, found, value);
                }
            }
            !first
        });
    }

    fn entries(&mut self, object: Option<&Object>, first: &mut bool) {
        for (name, value) in object.into_iter().flat_map(Object::iter) {
            self.key(first, name);
            self.plain(value);
        }
    }

    fn field(&mut self, kind: Kind, value: Option<&Value>, around: Option<&Value>) {
        match (kind, value) {
            (Kind::Struct(kind), value) => self.structure(kind, value, around),
            (Kind::Pointer(kind), Some(value)) => self.structure(kind, Some(value), around),
            (Kind::List(kind), Some(Value::Array(items))) => self.list(items, |writer, item| {
                writer.structure(kind, Some(item), None);
            }),
            (Kind::Text, None) => self.out.push_str("\"\""),
            (Kind::Quantity, None) => self.out.push_str("\"0\""),
            (Kind::Number, None) => self.out.push('0'),
            (Kind::Truth, None) => self.out.push_str("false"),
            (_, None) => self.out.push_str("null"),
            (_, Some(value)) => self.plain(value),
        }
    }

    fn list(&mut self, items: &[Value], each: impl Fn(&mut Self, &Value)) {
        self.block(['[', ']'], |writer| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    writer.out.push(',');
                }
                writer.line();
                each(writer, item);
            }
            !items.is_empty()
        });
    }

    fn plain(&mut self, value: &Value) {
        match value {
            Value::Array(items) => self.list(items, Self::plain),
            Value::Object(object) => self.block(['{', '}'], |writer| {
                let mut first = true;
                writer.entries(Some(object), &mut first);
                !first
            }),
            other => self.out.push_str(&other.to_string()),
        }
    }
}

/// A value of the type, in one line.
pub(crate) fn show(kind: &str, value: Option<&Value>) -> Shown {
    let mut writer = Writer { out: String::new(), depth: None };
    writer.structure(kind, value, None);
    Shown::raw(writer.out)
}

/// A list of values of the type, in one line.
pub(crate) fn show_list(kind: &str, items: &[Value]) -> Shown {
    let shown: Vec<String> = items.iter().map(|item| show(kind, Some(item)).to_string()).collect();
    Shown::raw(format!("[{}]", shown.join(",")))
}

fn lines(kind: &str, value: &Value) -> String {
    let mut writer = Writer { out: String::new(), depth: Some(0) };
    writer.structure(kind, Some(value), None);
    writer.out.push('\n');
    writer.out
}

/// How two values of a type differ, as a unified diff with three lines around each change.
pub(crate) fn difference(kind: &str, old: &Value, new: &Value) -> String {
    diff::unified(&lines(kind, old), &lines(kind, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_is_in_the_table() {
        for (name, fields) in TYPES.iter() {
            for field in fields {
                if let Kind::Struct(kind) | Kind::Pointer(kind) | Kind::List(kind) = field.kind {
                    assert!(TYPES.contains_key(kind), "{name}.{} is a {kind}", field.name);
                }
            }
        }
    }

    #[test]
    fn what_is_missing_shows_as_its_zero() {
        let port = Value::from_json(br#"{"port":80,"protocol":"TCP","targetPort":0}"#).unwrap();
        assert_eq!(
            show("ServicePort", Some(&port)).to_string(),
            r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#
        );
    }

    #[test]
    fn a_difference_shows_the_lines_around_it() {
        let spec = |size: &str| {
            let json = format!(
                r#"{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"{size}"}}}}}}"#
            );
            Value::from_json(json.as_bytes()).unwrap()
        };
        let text = difference("PersistentVolumeClaimSpec", &spec("1Gi"), &spec("1Mi"));
        assert_eq!(
            text,
            "@@ -6,7 +6,7 @@\n  \"Resources\": {\n   \"Limits\": null,\n   \"Requests\": {\n-   \"storage\": \"1Gi\"\n+   \
             \"storage\": \"1Mi\"\n   }\n  },\n  \"VolumeName\": \"\",\n"
        );
    }
}
