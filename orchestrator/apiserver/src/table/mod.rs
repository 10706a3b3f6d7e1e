//! Tables: rows of printable cells, as `kubectl get` shows them.
//!
//! A kind's rules name its columns and fill its cells; this module builds the `Table` object around them. Columns of
//! priority 1 appear with `-o wide`.

mod age;
mod render;

pub(crate) use age::{age, human, since};
pub(crate) use render::{Renderer, partial, table_of};

use wherry_schema::Value;

use crate::object::{self, Fields};

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    description: Description,
    priority: u8,
}

/// Where the description of a column comes from.
#[derive(Debug, Clone, Copy)]
enum Description {
    Text(&'static str),
    /// A field that the column shows, which has a description already: `core.v1.ConfigMap.data`.
    Field(&'static str),
}

/// A column as clients read it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Definition<'a> {
    pub(crate) name: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) format: &'a str,
    pub(crate) description: &'a str,
    pub(crate) priority: i64,
}

impl Column {
    /// A column that is always shown.
    pub(crate) const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self { name, kind, format: "", description: Description::Text(description), priority: 0 }
    }

    /// A column that shows a field, one of `facts/columns.tsv` in the schema crate.
    pub(crate) const fn of(name: &'static str, kind: &'static str, field: &'static str) -> Self {
        Self { name, kind, format: "", description: Description::Field(field), priority: 0 }
    }

    /// This column, as one that holds the name of an object.
    pub(crate) const fn named(self) -> Self {
        Self { format: "name", ..self }
    }

    /// This column, in the wide form only.
    pub(crate) const fn in_wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// This column, of cells of another type.
    pub(crate) const fn of_type(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// This column as clients read it.
    pub(crate) fn definition(&self) -> Definition<'static> {
        let description = match self.description {
            Description::Text(text) => text,
            Description::Field(field) => wherry_schema::openapi::column(field).unwrap_or_default(),
        };
        let Self { name, kind, format, priority, .. } = *self;
        Definition { name, kind, format, description, priority: priority.into() }
    }

    /// Whether the field the column shows has a description.
    #[cfg(test)]
    pub(crate) fn is_described(&self) -> bool {
        match self.description {
            Description::Text(_) => true,
            Description::Field(field) => wherry_schema::openapi::column(field).is_some(),
        }
    }
}

/// The name column of most tables.
pub(crate) const NAME: Column =
    Column { format: "name", ..Column::of("Name", "string", "meta.v1.ObjectMeta.name") };

/// The age column.
pub(crate) const AGE: Column = Column::of("Age", "string", "meta.v1.ObjectMeta.creationTimestamp");

/// Columns as clients read them.
pub(crate) fn definitions(columns: &[Column]) -> Vec<u8> {
    let columns: Vec<Definition<'_>> = columns.iter().map(Column::definition).collect();
    serde_json::to_vec(&columns).expect("columns are plain strings and numbers")
}

/// The columns of kinds that show nothing but when they were made.
pub(crate) static NAME_AND_DATE: &[Column] =
    &[NAME, Column::of("Created At", "date", "meta.v1.ObjectMeta.creationTimestamp")];

/// The cells of [`NAME_AND_DATE`].
pub(crate) fn name_and_date(object: &Value) -> Vec<Value> {
    vec![name(object), object.text("metadata.creationTimestamp").into()]
}

/// The columns of a pod template's containers.
pub(crate) const CONTAINERS: Column =
    Column::new("Containers", "string", "Names of each container in the template.");
/// The column of a pod template's images.
pub(crate) const IMAGES: Column =
    Column::new("Images", "string", "Images referenced by each container in the template.");

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
