//! The caller's own types and data, read in place.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use wherry_cel::{Data, Env, ListKind, Reading, Shape, Stored, Type, Types, Value};

/// A JSON-like value.
enum Json {
    Null,
    Int(i64),
    Text(&'static str),
    List(Vec<Json>),
    Map(BTreeMap<&'static str, Json>),
}

impl Data for Json {
    fn stored(&self) -> Stored<'_> {
        match self {
            Self::Null => Stored::Null,
            Self::Int(number) => Stored::Int(*number),
            Self::Text(text) => Stored::String(text),
            Self::List(items) => Stored::List(items.len()),
            Self::Map(fields) => Stored::Map(fields.len()),
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Data> {
        let Self::List(items) = self else { return None };
        items.get(at).map(|item| item as &dyn Data)
    }

    fn field(&self, name: &str) -> Option<&dyn Data> {
        let Self::Map(fields) = self else { return None };
        fields.get(name).map(|field| field as &dyn Data)
    }

    fn entry(&self, at: usize) -> Option<(&str, &dyn Data)> {
        let Self::Map(fields) = self else { return None };
        fields.iter().nth(at).map(|(name, field)| (*name, field as &dyn Data))
    }
}

/// How the object of these tests is to be read.
struct Spec(Reading, Kind);

/// How its list compares.
enum Kind {
    Atomic,
    Set,
    Keyed,
}

static KEYS: LazyLock<[String; 1]> = LazyLock::new(|| ["name".to_owned()]);

const DATE_TIME: Spec = Spec(Reading::DateTime, Kind::Atomic);
const SET: Spec = Spec(Reading::Plain, Kind::Set);
const KEYED: Spec = Spec(Reading::Plain, Kind::Keyed);
const PLAIN: Spec = Spec(Reading::Plain, Kind::Atomic);
const DOUBLE: Spec = Spec(Reading::Double, Kind::Atomic);

impl Shape for Spec {
    fn reading(&self) -> Reading {
        self.0
    }

    fn item(&self) -> Option<&dyn Shape> {
        None
    }

    fn stored_name<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        match name {
            "x__dash__y" => Some("x-y"),
            "hidden" => None,
            other => Some(other),
        }
    }

    fn field(&self, stored: &str) -> Option<&dyn Shape> {
        match stored {
            "since" => Some(&DATE_TIME),
            "tags" => Some(&SET),
            "ports" => Some(&KEYED),
            "ratio" => Some(&DOUBLE),
            _ => None,
        }
    }

    fn list_kind(&self) -> ListKind<'_> {
        match self.1 {
            Kind::Atomic => ListKind::Atomic,
            Kind::Set => ListKind::Set,
            Kind::Keyed => ListKind::Map(&*KEYS),
        }
    }
}

/// The declared types of the same.
struct Declared;

impl Types for Declared {
    fn contains(&self, name: &str) -> bool {
        matches!(name, "Object" | "Object.port")
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        Some(match (name, field) {
            ("Object", "since") => Type::Timestamp,
            ("Object", "tags") => Type::list(Type::String),
            ("Object", "ports") => Type::list(Type::object("Object.port")),
            ("Object", "labels") => Type::map(Type::String, Type::String),
            ("Object", "x__dash__y" | "size" | "hidden") | ("Object.port", "port") => Type::Int,
            ("Object", "ratio") => Type::Double,
            ("Object.port", "name") => Type::String,
            _ => return None,
        })
    }
}

fn port(name: &'static str, port: i64) -> Json {
    Json::Map([("name", Json::Text(name)), ("port", Json::Int(port))].into())
}

fn object(swapped: bool) -> Json {
    let mut tags = vec![Json::Text("a"), Json::Text("b")];
    let mut ports = vec![port("http", 80), port("https", 443)];
    if swapped {
        tags.reverse();
        ports.reverse();
    }
    Json::Map(
        [
            ("since", Json::Text("2020-01-02T00:00:00Z")),
            ("tags", Json::List(tags)),
            ("ports", Json::List(ports)),
            ("labels", Json::Map([("app.io/x", Json::Text("y"))].into())),
            ("x-y", Json::Int(7)),
            ("hidden", Json::Int(1)),
            ("size", Json::Int(3)),
            ("ratio", Json::Int(2)),
            ("nothing", Json::Null),
        ]
        .into(),
    )
}

fn env() -> Env {
    Env::kubernetes()
        .types(Arc::new(Declared))
        .variable("self", Type::object("Object"))
        .variable("oldSelf", Type::object("Object"))
        .variable("any", Type::Dyn)
}

fn outcome(text: &str) -> String {
    let (new, old) = (object(false), object(true));
    let program = match env().compile(text) {
        Ok(program) => program,
        Err(issues) => return issues.to_string(),
    };
    let variables = [
        ("self", Value::view(&new, Some(&PLAIN)).expect("it can be read")),
        ("oldSelf", Value::view(&old, Some(&PLAIN)).expect("it can be read")),
        ("any", Value::view(&new, None).expect("it can be read")),
    ];
    match program.evaluate(&variables, 1_000_000).result {
        Ok(value) => format!("{:?}", value.as_bool()),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn data_is_read_as_its_shape_says() {
    for text in [
        "self.size == 3 && self.x__dash__y == 7 && self.ratio == 2.0",
        "self.since.getFullYear() == 2020",
        "self.labels['app.io/x'] == 'y' && self.labels.all(k, k.startsWith('app'))",
        "self.ports.exists(p, p.name == 'http' && p.port == 80)",
        "self.ports[0].port == 80 && has(self.ports) && !has(self.hidden)",
        "any.size == 3 && any['x-y'] == 7 && any.since == '2020-01-02T00:00:00Z' && any.nothing == null",
        "any.map(k, k).size() == 9 && any.ports.map(p, p.port) == [80, 443]",
        "!has(any.nope) && has(any.nothing)",
    ] {
        assert_eq!(outcome(text), "Some(true)", "{text}");
    }
    assert_eq!(outcome("any.nope == 1"), "error: no such key: nope");
    assert_eq!(outcome("self.hidden == 1"), "error: no such key: hidden");
}

#[test]
fn sets_and_keyed_lists_compare_in_any_order_and_merge() {
    for text in [
        "self.tags == oldSelf.tags && self.ports == oldSelf.ports && self.ports != []",
        "(self.tags + ['b', 'c']) == ['a', 'b', 'c'] && size(self.ports + oldSelf.ports) == 2",
        "any.tags != oldSelf.tags",
    ] {
        assert_eq!(outcome(text), "Some(true)", "{text}");
    }
}

#[test]
fn fields_are_checked_against_their_types() {
    for (text, expected) in [
        ("self.nope", "1:5: undefined field 'nope'"),
        ("self.size == 'x'", "1:11: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.size.x", "1:10: type 'int' does not support field selection"),
        ("self.ports[0].nope", "1:14: undefined field 'nope'"),
        (
            "Object{size: 'x'} == self",
            "1:12: expected type of field 'size' is 'int' but provided type is 'string'",
        ),
        ("Object{nope: 1} == self", "1:12: undefined field 'nope'"),
        (
            "self.tags == null",
            "1:11: found no matching overload for '_==_' applied to '(list(string), null)'",
        ),
    ] {
        let printed = outcome(text);
        let first = printed.lines().next().unwrap_or_default();
        assert_eq!(first.trim_start_matches("ERROR: <input>:"), expected, "{text}");
    }
    assert_eq!(outcome("self != null"), "Some(true)");
}

#[test]
fn messages_are_made() {
    for text in [
        "Object{size: 1}.size == 1 && !has(Object{size: 1}.tags) && Object{size: 1} == Object{size: 1}",
        "Object{ports: [Object.port{name: 'a', port: 1}]}.ports[0].port == 1",
    ] {
        assert_eq!(outcome(text), "Some(true)", "{text}");
    }
}

#[test]
fn programs_and_environments_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<wherry_cel::Program>();
    shared::<Env>();
    shared::<wherry_cel::Issues>();
    shared::<wherry_cel::Error>();
}
