//! The tables of facts that JSON schemas lack: merge and list metadata, what a zero value of a field means, which
//! fields k8s-openapi requires though Kubernetes does not, which fields the columns of tables show, and what the
//! published documents say besides (defaults, enumerations, the order of required fields).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::collect::{Definitions, ROOTS, reference};

/// Merge and list metadata of a field, or of a type where the field's name is empty.
#[derive(Clone, Default)]
pub(crate) struct Merge {
    pub(crate) strategy: String,
    pub(crate) key: String,
    pub(crate) list_type: String,
    pub(crate) list_map_keys: String,
}

/// All tables, by short type name (`core.v1.Pod`) and field.
pub(crate) struct Facts {
    merge: HashMap<(String, String), Merge>,
    kept: HashSet<(String, String)>,
    always: HashSet<(String, String)>,
    omitted: HashSet<(String, String)>,
    optional: HashSet<(String, String)>,
    /// Fields whose descriptions are those of columns.
    pub(crate) columns: BTreeSet<(String, String)>,
    published: HashMap<(String, String, String), String>,
}

/// The types of metadata, which no object is required to have.
const OBJECT_META: [&str; 2] = ["ObjectMeta", "ListMeta"];

impl Facts {
    pub(crate) fn read(folder: &Path) -> Self {
        let merge = rows(&folder.join("merge-metadata.tsv"))
            .map(|row| {
                let [strategy, key, list_type, list_map_keys] = [2, 3, 4, 5].map(|at| row[at].clone());
                ((row[0].clone(), row[1].clone()), Merge { strategy, key, list_type, list_map_keys })
            })
            .collect();
        let zeros = folder.join("zero-values.tsv");
        let of = |what: &str| {
            rows(&zeros).filter(|row| row[2] == what).map(|row| (row[0].clone(), row[1].clone())).collect()
        };
        let optional =
            rows(&folder.join("optional-fields.tsv")).map(|row| (row[0].clone(), row[1].clone())).collect();
        let published = rows(&folder.join("openapi.tsv"))
            .map(|row| ((row[0].clone(), row[1].clone(), row[2].clone()), row[3].clone()))
            .collect();
        let columns = rows(&folder.join("columns.tsv")).map(|row| (row[0].clone(), row[1].clone())).collect();
        Self {
            merge,
            kept: of("kept"),
            always: of("always"),
            omitted: of("omitted"),
            optional,
            columns,
            published,
        }
    }

    /// What the published documents say of a field beyond its type: `enum`, `item-enum`, `unions`, ...
    pub(crate) fn published(&self, definition: &str, field: &str, what: &str) -> Option<&str> {
        let key = (short(definition), field.to_owned(), what.to_owned());
        self.published.get(&key).map(String::as_str)
    }

    /// The default of a field. What is required has the zero value of its type, and so do the parts of every
    /// object; the table names all other cases.
    pub(crate) fn default(&self, definition: &str, field: &str, definitions: &Definitions) -> Option<Value> {
        if let Some(text) = self.published(definition, field, "default") {
            return Some(serde_json::from_str(text).expect("the table holds JSON"));
        }
        if self.published(definition, field, "no-default").is_some() {
            return None;
        }
        let parent = &definitions[definition];
        let schema = &parent["properties"][field];
        let required = self.required(definition, parent).iter().any(|name| name == field);
        let Some(target) = reference(schema) else {
            return required.then(|| zero(schema["type"].as_str()?)).flatten();
        };
        let part = is_root(definition) && matches!(field, "spec" | "status");
        let structured = definitions.get(target).is_some_and(|of| of.get("properties").is_some());
        (structured && (required || part || is_metadata(schema))).then(|| json!({}))
    }

    /// Metadata of a field; with an empty field name, of the type itself.
    pub(crate) fn merge(&self, definition: &str, field: &str) -> Merge {
        self.merge.get(&(short(definition), field.to_owned())).cloned().unwrap_or_default()
    }

    /// The fields a definition requires, in the order in which the table names them if it does; without those that
    /// only k8s-openapi requires.
    pub(crate) fn required(&self, definition: &str, schema: &Value) -> Vec<String> {
        if let Some(names) = self.published(definition, "", "required") {
            return names.split(',').map(str::to_owned).collect();
        }
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let names = names.filter_map(Value::as_str).filter(|name| !is_metadata(&schema["properties"][*name]));
        let names = names.filter(|name| !self.optional.contains(&(short(definition), (*name).to_owned())));
        names.map(str::to_owned).collect()
    }

    /// Whether an optional scalar field is kept when it holds the zero of its type.
    pub(crate) fn keeps_zero(&self, definition: &str, field: &str) -> bool {
        self.kept.contains(&(short(definition), field.to_owned()))
    }

    /// Whether a field is left out when it is empty, although it is required.
    pub(crate) fn omits_empty(&self, definition: &str, field: &str) -> bool {
        self.omitted.contains(&(short(definition), field.to_owned()))
    }

    /// Whether a field is written even if nobody set it: objects that are no pointers, what is required and no
    /// pointer, and what the table names.
    pub(crate) fn always_written(&self, definition: &str, field: &str, definitions: &Definitions) -> bool {
        let default = self.default(definition, field, definitions);
        if default == Some(json!({})) || self.always.contains(&(short(definition), field.to_owned())) {
            return true;
        }
        let parent = &definitions[definition];
        let collection = matches!(parent["properties"][field]["type"].as_str(), Some("array" | "object"));
        let required = self.required(definition, parent).iter().any(|name| name == field);
        let omitted = self.omits_empty(definition, field);
        required && !omitted && (collection || default.is_some())
    }
}

/// Whether a field holds the metadata of an object or list.
fn is_metadata(schema: &Value) -> bool {
    let bare = reference(schema).and_then(|target| target.rsplit('.').next());
    bare.is_some_and(|bare| OBJECT_META.contains(&bare))
}

/// Whether a definition is that of a kind.
fn is_root(definition: &str) -> bool {
    ROOTS.iter().any(|root| root.3 == definition)
}

/// The zero value of a scalar type.
fn zero(kind: &str) -> Option<Value> {
    Some(match kind {
        "string" => json!(""),
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        _ => return None,
    })
}

/// `io.k8s.api.core.v1.Pod` as the tables name it: `core.v1.Pod`.
pub(crate) fn short(definition: &str) -> String {
    let parts: Vec<&str> = definition.rsplit('.').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(".")
}

/// The rows of a table below its heading, padded to six columns.
fn rows(path: &Path) -> impl Iterator<Item = Vec<String>> {
    let text = std::fs::read_to_string(path).expect("the tables of facts are part of the crate");
    let rows: Vec<Vec<String>> = text.lines().skip(1).map(columns).collect();
    rows.into_iter()
}

fn columns(line: &str) -> Vec<String> {
    let mut row: Vec<String> = line.split('\t').map(str::to_owned).collect();
    row.resize(6, String::new());
    row
}
