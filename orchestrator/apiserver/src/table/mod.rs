//! Tables: rows of printable cells, as `kubectl get` shows them.
//!
//! A kind's rules name its columns and fill its cells; this module builds the `Table` object around them. Columns of
//! priority 1 appear with `-o wide`.

mod age;
mod render;

pub(crate) use age::{age, since};
pub(crate) use render::{Renderer, partial, table_of};

use wherry_schema::Value;

use crate::object::{self, Fields};

/// A column of a table.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: u8,
}

impl Column {
    /// A column that is always shown.
    pub(crate) const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self { name, kind, format: "", description, priority: 0 }
    }

    /// A column of the wide form.
    pub(crate) const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self { priority: 1, ..Self::new(name, kind, description) }
    }
}

/// The name column of most tables.
pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name of the object, unique within its namespace",
    priority: 0,
};

/// The name column of tables that start with something else.
pub(crate) const WIDE_NAME: Column = Column { priority: 1, ..NAME };

/// The age column.
pub(crate) const AGE: Column = Column::new("Age", "string", "Time since the object was created");

/// The name cell.
pub(crate) fn name(object: &Value) -> Value {
    object::name(object).into()
}

/// A cell that counts something.
pub(crate) fn count(number: usize) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// A number of the object, zero if missing.
pub(crate) fn number(object: &Value, path: &str) -> Value {
    object.int(path).unwrap_or(0).into()
}

/// A text of the object, or a placeholder if it is missing or empty.
pub(crate) fn text_or(object: &Value, path: &str, placeholder: &str) -> Value {
    let text = object.text(path);
    if text.is_empty() { placeholder.into() } else { text.into() }
}

/// Names and images of the containers of a pod template, each joined by commas.
pub(crate) fn containers(object: &Value, path: &str) -> [Value; 2] {
    let join = |field: &str| {
        let texts: Vec<&str> = object.items(path).iter().map(|c| c.text(field)).collect();
        Value::from(texts.join(","))
    };
    [join("name"), join("image")]
}

/// A map of labels as `k=v,k=v`.
pub(crate) fn labels(object: &Value, path: &str) -> String {
    let pairs = object.map(path).into_iter().flat_map(wherry_schema::Object::iter);
    let pairs: Vec<String> = pairs.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    pairs.join(",")
}

/// A label selector object as its query-string form.
pub(crate) fn selector(object: &Value, path: &str) -> String {
    let mut clauses: Vec<String> = Vec::new();
    let matched = labels(object, &format!("{path}.matchLabels"));
    if !matched.is_empty() {
        clauses.push(matched);
    }
    for expression in object.items(&format!("{path}.matchExpressions")) {
        clauses.push(clause(expression));
    }
    if clauses.is_empty() { "<none>".to_owned() } else { clauses.join(",") }
}

fn clause(expression: &Value) -> String {
    let key = expression.text("key");
    let values: Vec<&str> = expression.items("values").iter().filter_map(Value::as_str).collect();
    match expression.text("operator") {
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}
