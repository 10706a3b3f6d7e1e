//! Semantic versions.

use std::any::Any;
use std::cmp::Ordering;

use crate::env::Row;
use crate::error::Error;
use crate::value::{Opaque, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("semver", "string_to_semver", "(string) -> kubernetes.Semver", semver),
    ("semver", "string_bool_to_semver", "(string, bool) -> kubernetes.Semver", semver),
    ("isSemver", "is_semver_string", "(string) -> bool", is_semver),
    ("isSemver", "is_semver_string_bool", "(string, bool) -> bool", is_semver),
    ("isGreaterThan", "semver_is_greater_than", "kubernetes.Semver.(kubernetes.Semver) -> bool", greater),
    ("isLessThan", "semver_is_less_than", "kubernetes.Semver.(kubernetes.Semver) -> bool", less),
    ("compareTo", "semver_compare_to", "kubernetes.Semver.(kubernetes.Semver) -> int", compare),
    ("major", "semver_major", "kubernetes.Semver.() -> int", |args| number(args, 0)),
    ("minor", "semver_minor", "kubernetes.Semver.() -> int", |args| number(args, 1)),
    ("patch", "semver_patch", "kubernetes.Semver.() -> int", |args| number(args, 2)),
];

/// A version; build metadata does not take part in comparisons.
#[derive(Clone, Debug)]
struct Version {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
}

/// A part of a pre-release. Numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

impl Version {
    fn order(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl Opaque for Version {
    fn type_name(&self) -> &'static str {
        "kubernetes.Semver"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref().is_some_and(|other: &Self| self.order(other).is_eq())
    }
}

/// A version as a value.
pub(crate) fn value<'a>(text: &str) -> std::result::Result<Value<'a>, String> {
    parse(text).map(Value::opaque)
}

fn parse(text: &str) -> std::result::Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let mut parts = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
    let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
    let numbers = [numeric(major, "Major")?, numeric(minor, "Minor")?, numeric(patch, "Patch")?];
    let pre = pre.map_or(Ok(Vec::new()), |pre| pre.split('.').map(identifier).collect())?;
    if let Some(wrong) =
        build.into_iter().flat_map(|build| build.split('.')).find(|part| !is_identifier(part))
    {
        return Err(if wrong.is_empty() {
            "Build meta data is empty".to_owned()
        } else {
            format!("Invalid character(s) found in build meta data {wrong:?}")
        });
    }
    Ok(Version { numbers, pre })
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn numeric(text: &str, what: &str) -> std::result::Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {} number {text:?}", what.to_ascii_lowercase()));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{what} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

fn identifier(part: &str) -> std::result::Result<Identifier, String> {
    if part.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if part.bytes().all(|byte| byte.is_ascii_digit()) {
        if part.len() > 1 && part.starts_with('0') {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {part:?}"));
        }
        return part.parse().map(Identifier::Number).map_err(|_| format!("Invalid number {part:?}"));
    }
    if is_identifier(part) {
        return Ok(Identifier::Text(part.to_owned()));
    }
    Err(format!("Invalid character(s) found in prerelease {part:?}"))
}

/// A version that may begin with `v`, leave out numbers and have leading zeros.
fn parse_normalized(text: &str) -> std::result::Result<Version, String> {
    let mut parts: Vec<String> =
        text.strip_prefix('v').unwrap_or(text).splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    parse(&parts.join("."))
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|char: char| char.is_ascii_digit()) { rest.to_owned() } else { format!("0{rest}") }
}

fn read(args: &[Value<'_>]) -> Result<std::result::Result<Version, String>> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(parse_normalized(text)),
        _ => Err(Error::no_overload()),
    }
}

fn semver<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    read(args)?.map(Value::opaque).map_err(Error::other)
}

fn is_semver<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    read(args).map(|version| Value::Bool(version.is_ok()))
}

fn compared(args: &[Value<'_>]) -> Result<Ordering> {
    let [a, b] = args else { return Err(Error::no_overload()) };
    let version = |value: &Value<'_>| value.as_opaque::<Version>().cloned().ok_or_else(Error::no_overload);
    Ok(version(a)?.order(&version(b)?))
}

fn greater<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Bool(order.is_gt()))
}

fn less<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Bool(order.is_lt()))
}

fn compare<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Int(i64::from(order as i8)))
}

fn number<'a>(args: &[Value<'a>], at: usize) -> Result<Value<'a>> {
    let version = args.first().and_then(Value::as_opaque::<Version>).ok_or_else(Error::no_overload)?;
    Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX)))
}
