//! Documents of version 2 of other servers, merged into this server's own.
//!
//! # Guarantees
//! Of another document come the paths of its group and version that are not there already, with all that they refer to.
//! A definition of the same name is the same one if it says the same but for the kinds it stands for; otherwise it comes
//! under a new name: `Pod_v2`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The kinds that a definition stands for.
const KINDS: &str = "x-kubernetes-group-version-kind";
/// Where references lead to.
const PARTS: [&str; 2] = ["definitions", "parameters"];

/// The document of another server, as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Other<'d> {
    /// What its paths begin with: `/apis/example.com/v1/`.
    pub prefix: &'d str,
    /// The document.
    pub json: &'d [u8],
}

/// A document with others merged into it, those that come first first. What cannot be read is left out.
pub fn merge(own: &[u8], others: &[Other<'_>]) -> Vec<u8> {
    let mut all: Value = serde_json::from_slice(own).unwrap_or_default();
    for other in others {
        if let Ok(document) = serde_json::from_slice(other.json) {
            add(&mut all, document, other.prefix);
        }
    }
    all.to_string().into_bytes()
}

/// Merges one document.
fn add(all: &mut Value, other: Value, prefix: &str) {
    let Value::Object(mut other) = other else { return };
    let known = all.get("paths").and_then(Value::as_object);
    let is_new = |path: &str| path.starts_with(prefix) && known.is_none_or(|known| !known.contains_key(path));
    let mut paths = taken(&mut other, "paths");
    paths.retain(|path, _| is_new(path));
    let parts = PARTS.map(|part| taken(&mut other, part));
    let used = used(&paths, &parts);
    let Value::Object(all) = all else { return };
    let mut names = BTreeMap::new();
    let mut found = Vec::new();
    for (part, mut values) in PARTS.into_iter().zip(parts) {
        values.retain(|name, _| used.contains(&reference(part, name)));
        let known = entry(all, part);
        let renamed = values.iter().filter_map(|(name, value)| {
            let known_value = known.get(name)?;
            (!says_the_same(known_value, value))
                .then(|| (reference(part, name), free_name(name, known, &values)))
        });
        let renamed: BTreeMap<String, String> = renamed.collect();
        names.extend(renamed.iter().map(|(from, to)| (from.clone(), reference(part, to))));
        found.extend(values.into_iter().map(|(name, value)| {
            let name = renamed.get(&reference(part, &name)).cloned().unwrap_or(name);
            (part, name, value)
        }));
    }
    for (part, name, mut value) in found {
        rename(&mut value, &names);
        put(entry(all, part), name, value);
    }
    let known = entry(all, "paths");
    for (path, mut item) in paths {
        rename(&mut item, &names);
        known.insert(path, item);
    }
}

fn taken(document: &mut Map<String, Value>, field: &str) -> Map<String, Value> {
    match document.remove(field) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A field of a document that has named values.
fn entry<'m>(document: &'m mut Map<String, Value>, field: &str) -> &'m mut Map<String, Value> {
    let value = document.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object if it was none")
}

fn reference(part: &str, name: &str) -> String {
    format!("#/{part}/{name}")
}

/// The references that are followed from paths.
fn used(paths: &Map<String, Value>, parts: &[Map<String, Value>; 2]) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut waiting: Vec<&Value> = paths.values().collect();
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(fields) => {
                waiting.extend(fields.values());
                let Some(target) = fields.get("$ref").and_then(Value::as_str) else { continue };
                if used.insert(target.to_owned()) {
                    waiting.extend(followed(target, parts));
                }
            }
            _ => {}
        }
    }
    used
}

/// What a reference leads to.
fn followed<'p>(target: &str, parts: &'p [Map<String, Value>; 2]) -> Option<&'p Value> {
    let (part, name) = target.strip_prefix("#/")?.split_once('/')?;
    let at = PARTS.iter().position(|known| *known == part)?;
    parts[at].get(name)
}

/// Whether two definitions differ in no more than the kinds they stand for.
fn says_the_same(one: &Value, other: &Value) -> bool {
    let (Value::Object(one), Value::Object(other)) = (one, other) else { return one == other };
    let fields = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(KINDS));
    let mut own = one.iter().filter(|(field, _)| *field != KINDS);
    fields(one) == fields(other) && own.all(|(field, value)| other.get(field) == Some(value))
}

/// A name that neither document has.
fn free_name(name: &str, known: &Map<String, Value>, own: &Map<String, Value>) -> String {
    let mut names = (2..).map(|number: u32| format!("{name}_v{number}"));
    let free = names.find(|name| !known.contains_key(name) && !own.contains_key(name));
    free.unwrap_or_else(|| name.to_owned())
}

/// Adds a definition, or the kinds that it stands for to the one that is there.
fn put(known: &mut Map<String, Value>, name: String, value: Value) {
    let Some(there) = known.get_mut(&name) else {
        known.insert(name, value);
        return;
    };
    let (Some(Value::Array(kinds)), Some(Value::Array(more))) = (there.get_mut(KINDS), value.get(KINDS))
    else {
        return;
    };
    let new: Vec<Value> = more.iter().filter(|kind| !kinds.contains(kind)).cloned().collect();
    kinds.extend(new);
}

/// Makes references lead to new names.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(renamed) = names.get(target)
            {
                target.clone_from(renamed);
            }
            fields.values_mut().for_each(|field| rename(field, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Other, merge};

    fn merged(own: &Value, other: &Value) -> Value {
        let (own, other) = (own.to_string(), other.to_string());
        let others = [Other { prefix: "/apis/b/v1/", json: other.as_bytes() }];
        serde_json::from_slice(&merge(own.as_bytes(), &others)).unwrap()
    }

    fn refers(to: &str) -> Value {
        json!({"get": {"schema": {"$ref": format!("#/definitions/{to}")}}})
    }

    #[test]
    fn paths_of_the_version_come_with_what_they_refer_to() {
        let own = json!({"swagger": "2.0", "paths": {"/apis/a/v1/x": {}}, "definitions": {"A": {}}});
        let other = json!({
            "paths": {"/apis/b/v1/y": refers("B"), "/apis/c/v1/z": refers("Z"), "/apis/b/": {}},
            "definitions": {"B": {"items": {"$ref": "#/definitions/C"}}, "C": {"$ref": "#/definitions/B"}, "Z": {}},
            "parameters": {"p": {}},
        });
        let all = merged(&own, &other);
        let names = |field: &str| all[field].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names("paths"), ["/apis/a/v1/x", "/apis/b/v1/y"]);
        assert_eq!(names("definitions"), ["A", "B", "C"]);
        assert_eq!(all["parameters"], json!({}));
        assert_eq!(all["swagger"], "2.0");
    }

    #[test]
    fn definitions_that_say_something_else_get_another_name() {
        let own = json!({
            "paths": {"/apis/b/v1/known": {}},
            "definitions": {"B": {"type": "string"}, "B_v2": {}, "Same": {"type": "object"}},
        });
        let both = json!([refers("B"), refers("Same")]);
        let other = json!({
            "paths": {"/apis/b/v1/y": both, "/apis/b/v1/known": refers("Same")},
            "definitions": {
                "B": {"items": {"$ref": "#/definitions/B"}}, "Same": {"type": "object"}, "B_v3": {},
            },
        });
        let all = merged(&own, &other);
        assert_eq!(all["definitions"]["B"], json!({"type": "string"}));
        assert_eq!(all["definitions"]["B_v3"], json!({"items": {"$ref": "#/definitions/B_v3"}}));
        assert_eq!(all["paths"]["/apis/b/v1/y"], json!([refers("B_v3"), refers("Same")]));
        assert_eq!(all["paths"]["/apis/b/v1/known"], json!({}));
        assert!(all["definitions"].get("Same_v2").is_none());
    }

    #[test]
    fn a_definition_stands_for_the_kinds_of_both() {
        let options = |group: &str| json!({"type": "object", "x-kubernetes-group-version-kind": [{"group": ""}, {"group": group}]});
        let own = json!({"definitions": {"DeleteOptions": options("a")}});
        let other = json!({
            "paths": {"/apis/b/v1/y": refers("DeleteOptions")}, "definitions": {"DeleteOptions": options("b")},
        });
        let kinds = &merged(&own, &other)["definitions"]["DeleteOptions"]["x-kubernetes-group-version-kind"];
        assert_eq!(*kinds, json!([{"group": ""}, {"group": "a"}, {"group": "b"}]));
    }

    proptest! {
        #[test]
        fn any_document_is_merged_or_left_out(
            own in r#"\{("(paths|definitions)":(\{("[a-z/]{0,9}":\{\})?\}|1))?\}"#,
            other in r##"\{("paths":(\{"/apis/b/v1/[a-z]?":\{"\$ref":"#/(definitions|x)/[ab]"\}\}|\[\]))(,"definitions":(\{"[ab]":(1|\{\}|null)\}|null))?\}|\PC{0,20}"##,
        ) {
            let others = [Other { prefix: "/apis/b/v1/", json: other.as_bytes() }];
            let merged = merge(own.as_bytes(), &others);
            prop_assert!(serde_json::from_slice::<Value>(&merged).is_ok());
        }
    }
}
