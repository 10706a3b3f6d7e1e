//! The OpenAPI documents, gzipped, and the table of them that `src/openapi.rs` includes: in version 3 one for each
//! group and version, each group and the server; in version 2 one for everything. Those of what is switched on are
//! apart, in both versions.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::{Map, Value, json};
use wherry_api::kinds::{KINDS, Kind, OPTIONAL};

use crate::collect::{ROOTS, reference};
use crate::{paths, swagger, write_gzip};

/// The row of the older way to bind a Pod, which is no resource of its own.
const BINDING: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Binding",
    plural: "bindings",
    singular: "binding",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: &["create"],
    subresources: &[],
    storage: "",
};
/// Schemas that name the groups they are used in.
const USED_IN_GROUPS: [&str; 2] = ["DeleteOptions", "WatchEvent"];

/// Writes the documents and the table into `out`.
pub(crate) fn write(out: &Path, components: &Map<String, Value>) {
    let mut all = Map::new();
    let mut table = "&[\n".to_owned();
    for (name, group_version, paths) in parts() {
        all.extend(paths.clone());
        let document = version_3(&paths, group_version, components);
        writeln!(table, "    {},", put(out, &name, &document)).expect("a String takes everything");
    }
    table.push(']');
    std::fs::write(out.join("openapi.rs"), table).expect("OUT_DIR is writable");
    let swagger = put(out, "v2", &version_2(&all, &served(KINDS.iter()), components));
    std::fs::write(out.join("swagger.rs"), swagger).expect("OUT_DIR is writable");
    write_optional(out, components);
}

/// Writes the documents of what can be switched on, and the table of them.
fn write_optional(out: &Path, components: &Map<String, Value>) {
    let versions: BTreeSet<(&str, &str)> = OPTIONAL.iter().map(|kind| (kind.group, kind.version)).collect();
    let mut table = "&[\n".to_owned();
    for (group, version) in versions {
        let (name, paths) = version_paths(OPTIONAL, group, version);
        let document = put(out, &name, &version_3(&paths, Some((group, version)), components));
        let swagger = version_2(&paths, &served(KINDS.iter().chain(OPTIONAL)), components);
        let swagger = put(out, &format!("v2-{name}"), &swagger);
        writeln!(table, "    Optional {{ document: {document}, swagger: {swagger} }},")
            .expect("a String takes everything");
    }
    table.push(']');
    std::fs::write(out.join("optional.rs"), table).expect("OUT_DIR is writable");
}

/// A group and a version of it.
type Served = (&'static str, &'static str);

fn served(kinds: impl Iterator<Item = &'static Kind>) -> Vec<Served> {
    kinds.map(|kind| (kind.group, kind.version)).collect()
}

/// The document of the older form of these paths, in a server that has these groups.
fn version_2(paths: &Map<String, Value>, groups: &[Served], components: &Map<String, Value>) -> Value {
    let mut schemas = reached(paths, components);
    for (name, schema) in &mut schemas {
        add_groups(name, schema, groups.iter().copied());
    }
    swagger::document(paths, &schemas)
}

/// The name of the document of a group and version, and the paths in it.
fn version_paths(
    rows: &'static [Kind],
    group: &'static str,
    version: &'static str,
) -> (String, Map<String, Value>) {
    let name = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    let root = format!("/{name}");
    let mut of = Map::from_iter([paths::discovery(&root, Some(group), version)]);
    let bindings = (group.is_empty()).then_some(&BINDING);
    let kinds = rows.iter().filter(|kind| (kind.group, kind.version) == (group, version));
    kinds.chain(bindings).for_each(|kind| paths::add(&root, kind, (&schema_of, true), &mut of));
    (name, of)
}

/// Writes a document; answers its row of the table.
fn put(out: &Path, name: &str, document: &Value) -> String {
    let bytes = serde_json::to_vec(document).expect("it is plain JSON");
    let file = format!("openapi-{}.gz", name.replace('/', "-"));
    write_gzip(&out.join(&file), &bytes);
    let hash = hash(&bytes);
    format!(
        "Document {{ name: {name:?}, hash: {hash:?}, gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")) }}"
    )
}

type Part = (String, Option<(&'static str, &'static str)>, Map<String, Value>);

/// The names, group versions and paths of the documents, in the order of their names.
fn parts() -> Vec<Part> {
    let groups: BTreeSet<&str> = KINDS.iter().map(|kind| kind.group).filter(|g| !g.is_empty()).collect();
    let versions: BTreeSet<(&str, &str)> = KINDS.iter().map(|kind| (kind.group, kind.version)).collect();
    let mut parts: Vec<Part> = vec![
        ("api".to_owned(), None, Map::from_iter([paths::discovery("/api", Some(""), "")])),
        ("apis".to_owned(), None, Map::from_iter([paths::discovery("/apis", None, "")])),
        ("version".to_owned(), None, Map::from_iter([paths::version()])),
    ];
    for (path, item) in paths::openid() {
        parts.push((path.trim_matches('/').to_owned(), None, Map::from_iter([(path, item)])));
    }
    for group in groups {
        let name = format!("apis/{group}");
        let path = paths::discovery(&format!("/{name}"), Some(group), "");
        parts.push((name, None, Map::from_iter([path])));
    }
    for (group, version) in versions {
        let (name, of) = version_paths(KINDS, group, version);
        parts.push((name, Some((group, version)), of));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts
}

fn schema_of(group: &str, version: &str, kind: &str) -> Option<String> {
    ROOTS.iter().find(|root| (root.0, root.1, root.2) == (group, version, kind)).map(|root| root.3.to_owned())
}

fn version_3(
    paths: &Map<String, Value>,
    group_version: Option<(&str, &str)>,
    components: &Map<String, Value>,
) -> Value {
    let mut schemas = reached(paths, components);
    for (name, schema) in &mut schemas {
        add_groups(name, schema, group_version.into_iter());
    }
    let token = json!({
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    });
    let mut shared = json!({"securitySchemes": {"BearerToken": token}});
    if !schemas.is_empty() {
        shared["schemas"] = schemas.into();
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": shared,
        "security": [{"BearerToken": []}],
    })
}

/// Names the core group and these as groups that a schema is used in, if it is one that does so.
fn add_groups<'a>(name: &str, schema: &mut Value, more: impl Iterator<Item = (&'a str, &'a str)>) {
    let kind = name.rsplit('.').next().unwrap_or(name);
    if USED_IN_GROUPS.contains(&kind) && name.contains(".meta.") {
        let all: BTreeSet<(&str, &str)> = more.chain([("", "v1")]).collect();
        let all = all.into_iter();
        let kinds = all.map(|(group, version)| json!({"group": group, "version": version, "kind": kind}));
        schema["x-kubernetes-group-version-kind"] = kinds.collect();
    }
}

/// The components that paths refer to, directly or through others.
fn reached(paths: &Map<String, Value>, components: &Map<String, Value>) -> Map<String, Value> {
    let mut reached = BTreeSet::new();
    paths.values().for_each(|path| reach(path, components, &mut reached));
    reached.into_iter().map(|name| (name.clone(), components[&name].clone())).collect()
}

fn reach(value: &Value, components: &Map<String, Value>, reached: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| reach(item, components, reached)),
        Value::Object(fields) => {
            if let Some(name) = reference(value)
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
