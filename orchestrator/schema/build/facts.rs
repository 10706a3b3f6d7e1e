//! The tables of facts that JSON schemas lack: merge and list metadata, what a zero value of a field means, which
//! fields k8s-openapi requires though Kubernetes does not, and which fields the columns of tables show.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

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
    optional: HashSet<(String, String)>,
    /// Fields whose descriptions are those of columns.
    pub(crate) columns: BTreeSet<(String, String)>,
}

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
        let columns = rows(&folder.join("columns.tsv")).map(|row| (row[0].clone(), row[1].clone())).collect();
        Self { merge, kept: of("kept"), always: of("always"), optional, columns }
    }

    /// Metadata of a field; with an empty field name, of the type itself.
    pub(crate) fn merge(&self, definition: &str, field: &str) -> Merge {
        self.merge.get(&(short(definition), field.to_owned())).cloned().unwrap_or_default()
    }

    /// The fields a definition requires, without those that only k8s-openapi does.
    pub(crate) fn required(&self, definition: &str, schema: &Value) -> Vec<String> {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let names = names.filter_map(Value::as_str).map(str::to_owned);
        names.filter(|name| !self.optional.contains(&(short(definition), name.clone()))).collect()
    }

    /// Whether an optional scalar field is kept when it holds the zero of its type.
    pub(crate) fn keeps_zero(&self, definition: &str, field: &str) -> bool {
        self.kept.contains(&(short(definition), field.to_owned()))
    }

    /// Whether a field is written even if nobody set it.
    pub(crate) fn always_written(&self, definition: &str, field: &str) -> bool {
        self.always.contains(&(short(definition), field.to_owned()))
    }
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
