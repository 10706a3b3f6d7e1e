//! One OpenAPI v3 document for each group and version, gzipped, and the table that `src/openapi.rs` includes.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::{Map, Value, json};
use wherry_api::kinds::KINDS;

use crate::{operations, write_gzip};

/// Writes the documents and the table into `out`.
pub(crate) fn write(out: &Path, components: &Map<String, Value>) {
    let versions: BTreeSet<(&str, &str)> = KINDS.iter().map(|kind| (kind.group, kind.version)).collect();
    let mut table = "&[\n".to_owned();
    for (group, version) in versions {
        let name =
            if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let document =
            serde_json::to_vec(&document(&name, group, version, components)).expect("it is plain JSON");
        let file = format!("openapi-{}.gz", name.replace('/', "-"));
        write_gzip(&out.join(&file), &document);
        let hash = hash(&document);
        writeln!(table, "    Document {{ name: {name:?}, hash: {hash:?}, gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")) }},")
            .expect("a String takes everything");
    }
    table.push(']');
    std::fs::write(out.join("openapi.rs"), table).expect("OUT_DIR is writable");
}

fn document(name: &str, group: &str, version: &str, components: &Map<String, Value>) -> Value {
    let mut paths = Map::new();
    for kind in KINDS.iter().filter(|kind| (kind.group, kind.version) == (group, version)) {
        operations::add_paths(&format!("/{name}"), kind, &mut paths);
    }
    let paths = Value::Object(paths);
    let mut reached = BTreeSet::new();
    reach(&paths, components, &mut reached);
    let schemas: Map<String, Value> =
        reached.into_iter().map(|name| (name.clone(), components[&name].clone())).collect();
    let token = json!({
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    });
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": token}},
        "security": [{"BearerToken": []}],
    })
}

/// Adds the names of all components that a value refers to, directly or through others.
fn reach(value: &Value, components: &Map<String, Value>, reached: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| reach(item, components, reached)),
        Value::Object(fields) => {
            if let Some(name) = crate::collect::reference(value)
                && reached.insert(name.to_owned())
            {
                reach(&components[name], components, reached);
            }
            fields.values().for_each(|field| reach(field, components, reached));
        }
        _ => {}
    }
}

fn hash(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016X}", hasher.finish())
}
