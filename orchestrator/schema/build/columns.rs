//! The descriptions of the fields that columns of tables show, as the table that `src/openapi.rs` includes.

use std::fmt::Write;
use std::path::Path;

use crate::collect::Definitions;
use crate::facts::{Facts, short};

/// Writes the table, sorted by field.
pub(crate) fn write(out: &Path, definitions: &Definitions, facts: &Facts) {
    let mut table = "&[\n".to_owned();
    for (kind, field) in &facts.columns {
        let name = definitions.keys().find(|name| short(name) == *kind);
        let description = name
            .and_then(|name| definitions[name]["properties"][field.as_str()]["description"].as_str())
            .unwrap_or_else(|| panic!("{kind} has no field {field}"));
        let key = format!("{kind}.{field}");
        writeln!(table, "    ({key:?}, {:?}),", plain(description)).expect("a String takes everything");
    }
    table.push(']');
    std::fs::write(out.join("columns.rs"), table).expect("OUT_DIR is writable");
}

/// Without the list of values that OpenAPI documents add to the text of the type.
fn plain(description: &str) -> &str {
    description.split("\n\nPossible enum values:").next().unwrap_or(description)
}
