//! Columns of tables that a definition adds, and the cells they show.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Path;
use crate::object::Fields;
use crate::table::{self, Definition};

/// The columns of a version.
pub(crate) struct Columns(Vec<Own>);

/// A column that a definition adds.
struct Own {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    /// None if it is of a form that finds nothing.
    path: Option<Path>,
}

impl Columns {
    /// Reads the columns of a version; a version without any shows how old its objects are.
    pub(super) fn read(columns: &[Value]) -> Self {
        Self(columns.iter().map(Own::read).collect())
    }

    /// The columns as clients read them.
    pub(super) fn definitions(&self) -> Vec<u8> {
        let own = self.0.iter().map(Own::definition);
        let name = std::iter::once(table::NAME.definition());
        let age = self.0.is_empty().then(|| table::AGE.of_type("date").definition());
        let all: Vec<Definition<'_>> = name.chain(own).chain(age).collect();
        serde_json::to_vec(&all).expect("columns are plain strings and numbers")
    }

    /// The cells of an object.
    pub(super) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = std::iter::once(table::name(object));
        let age = self.0.is_empty().then(|| table::age(object, now));
        name.chain(self.0.iter().map(|column| column.cell(object, now))).chain(age).collect()
    }
}

impl Own {
    fn read(column: &Value) -> Self {
        let path = column.text("jsonPath");
        let description = match column.text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            text => text.to_owned(),
        };
        Self {
            name: column.text("name").to_owned(),
            kind: column.text("type").to_owned(),
            format: column.text("format").to_owned(),
            description,
            priority: column.int("priority").unwrap_or(0),
            path: Path::parse(path),
        }
    }

    fn definition(&self) -> Definition<'_> {
        let Self { name, kind, format, description, priority, .. } = self;
        Definition { name, kind, format, description, priority: *priority }
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().and_then(|path| path.first(object));
        found.map_or(Value::Null, |value| cell(&self.kind, value, now))
    }
}

/// A value as a cell of a column of this type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) | ("integer", Value::Int(_)) => {
            value.clone()
        }
        ("string", Value::Null) => "<no value>".into(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Float(number)) => truncated(*number),
        ("number", number) => number.as_f64().map_or(Value::Null, Value::from),
        ("date", Value::String(time)) => match time.parse::<Timestamp>() {
            Ok(_) => table::since(time, now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

/// The whole part of a number.
fn truncated(number: f64) -> Value {
    let whole = format!("{:.0}", number.trunc());
    whole.parse::<i64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("string", r#""x""#, r#""x""#)]
    #[case("string", "true", r#""true""#)]
    #[case("string", r#"{"a":[1]}"#, r#""{\"a\":[1]}""#)]
    #[case("integer", "3", "3")]
    #[case("integer", "3.7", "3")]
    #[case("integer", r#""3""#, "null")]
    #[case("number", "3.5", "3.5")]
    #[case("boolean", "false", "false")]
    #[case("boolean", r#""false""#, "null")]
    #[case("date", r#""2026-01-01T00:00:00Z""#, r#""60s""#)]
    #[case("date", r#""yesterday""#, r#""<invalid>""#)]
    fn a_cell_is_of_the_type_of_its_column(#[case] kind: &str, #[case] value: &str, #[case] expected: &str) {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let value = Value::from_json(value.as_bytes()).unwrap();
        assert_eq!(cell(kind, &value, now).to_string(), expected);
    }

    #[test]
    fn a_version_without_columns_shows_ages() {
        let definitions: serde_json::Value =
            serde_json::from_slice(&Columns::read(&[]).definitions()).unwrap();
        let names: Vec<_> =
            definitions.as_array().unwrap().iter().map(|c| (&c["name"], &c["type"])).collect();
        assert_eq!(names, [(&"Name".into(), &"string".into()), (&"Age".into(), &"date".into())]);
    }
}
