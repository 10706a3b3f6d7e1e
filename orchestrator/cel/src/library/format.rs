//! Named formats of strings: `format.dns1123Label().validate(...)`.

use std::any::Any;

use base64::Engine as _;
use wherry_api::names;

use super::go_url;
use crate::env::Row;
use crate::error::Error;
use crate::value::{Opaque, Time, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("format.named", "format-named", "(string) -> optional_type(kubernetes.NamedFormat)", named),
    (
        "validate",
        "format-validate",
        "kubernetes.NamedFormat.(string) -> optional_type(list(string))",
        validate,
    ),
    ("format.dns1123Label", "format.dns1123Label", "() -> kubernetes.NamedFormat", |_| at(0)),
    ("format.dns1123Subdomain", "format.dns1123Subdomain", "() -> kubernetes.NamedFormat", |_| at(1)),
    ("format.dns1035Label", "format.dns1035Label", "() -> kubernetes.NamedFormat", |_| at(2)),
    ("format.qualifiedName", "format.qualifiedName", "() -> kubernetes.NamedFormat", |_| at(3)),
    ("format.dns1123LabelPrefix", "format.dns1123LabelPrefix", "() -> kubernetes.NamedFormat", |_| at(4)),
    (
        "format.dns1123SubdomainPrefix",
        "format.dns1123SubdomainPrefix",
        "() -> kubernetes.NamedFormat",
        |_| at(5),
    ),
    ("format.dns1035LabelPrefix", "format.dns1035LabelPrefix", "() -> kubernetes.NamedFormat", |_| at(6)),
    ("format.labelValue", "format.labelValue", "() -> kubernetes.NamedFormat", |_| at(7)),
    ("format.uri", "format.uri", "() -> kubernetes.NamedFormat", |_| at(8)),
    ("format.uuid", "format.uuid", "() -> kubernetes.NamedFormat", |_| at(9)),
    ("format.byte", "format.byte", "() -> kubernetes.NamedFormat", |_| at(10)),
    ("format.date", "format.date", "() -> kubernetes.NamedFormat", |_| at(11)),
    ("format.datetime", "format.datetime", "() -> kubernetes.NamedFormat", |_| at(12)),
];

/// A format: its name, the size of its pattern for the cost, and the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format(&'static str, u64, fn(&str) -> std::result::Result<(), String>);

const FORMATS: [Format; 13] = [
    Format("dns1123Label", 30, names::dns1123_label),
    Format("dns1123Subdomain", 60, names::dns1123_subdomain),
    Format("dns1035Label", 30, names::dns1035_label),
    Format("qualifiedName", 60, names::label_key),
    Format("dns1123LabelPrefix", 30, |text| names::dns1123_label(&prefix(text))),
    Format("dns1123SubdomainPrefix", 60, |text| names::dns1123_subdomain(&prefix(text))),
    Format("dns1035LabelPrefix", 30, |text| names::dns1035_label(&prefix(text))),
    Format("labelValue", 40, names::label_value),
    Format("uri", 1000, |text| go_url::parse_request(text).map(|_| ())),
    Format("uuid", 36, |text| holds(is_uuid(text), "does not match the UUID format")),
    Format("byte", 84, |text| {
        let valid = base64::engine::general_purpose::STANDARD.decode(text).is_ok();
        holds(valid && !text.is_empty(), "invalid base64")
    }),
    Format("date", 100, |text| holds(Time::parse(&format!("{text}T00:00:00Z")).is_some(), "invalid date")),
    Format("datetime", 100, |text| holds(Time::parse(text).is_some(), "invalid datetime")),
];

impl Format {
    /// What its cost is counted by.
    pub(crate) fn pattern_size(&self) -> u64 {
        self.1
    }
}

impl Opaque for Format {
    fn type_name(&self) -> &'static str {
        "kubernetes.NamedFormat"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref().is_some_and(|Format(name, ..)| *name == self.0)
    }
}

fn holds(truth: bool, message: &str) -> std::result::Result<(), String> {
    if truth { Ok(()) } else { Err(message.to_owned()) }
}

/// A prefix of a name may end with a dash, because something follows.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn is_uuid(text: &str) -> bool {
    let digits: String = text.chars().filter(|char| *char != '-').collect();
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    let places_fit = [8, 13, 18, 23].iter().filter(|at| dashes.contains(at)).count() == dashes.len();
    digits.len() == 32
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (dashes.is_empty() || places_fit)
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all implementations")]
fn at<'a>(index: usize) -> Result<Value<'a>> {
    Ok(Value::opaque(FORMATS[index]))
}

fn named<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text)] = args else { return Err(Error::no_overload()) };
    let found = FORMATS.iter().find(|Format(name, ..)| *name == &**text);
    Ok(found.map_or(Value::Optional(None), |format| Value::some(Value::opaque(*format))))
}

fn validate<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (Some(Format(_, _, check)), [_, Value::String(text)]) =
        (args.first().and_then(Value::as_opaque), args)
    else {
        return Err(Error::no_overload());
    };
    Ok(match check(text) {
        Ok(()) => Value::Optional(None),
        Err(message) => Value::some(Value::list(vec![Value::from(message)])),
    })
}
