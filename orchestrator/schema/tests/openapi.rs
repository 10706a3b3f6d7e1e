//! The documents beside those that Kubernetes 1.36 publishes.
//!
//! `fixtures/openapi-digests.tsv` holds for each published schema the first six bytes of the SHA-256 of its structure: the
//! JSON without descriptions, keys sorted, no spaces. Where `WHERRY_GOLDEN` names a folder with the published documents
//! themselves, schemas and operations are compared one by one, which says what differs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use wherry_schema::openapi;

/// The structure of a schema: what it says without descriptions. `names` are fields of an object, which may be called
/// `description`, too.
fn structure(value: &Value, names: bool, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> =
                fields.iter().filter(|(k, _)| names || *k != "description").collect();
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                structure(value, key == "properties" && !names, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                structure(item, false, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn structure_of(name: &str, schema: &Value) -> String {
    let mut schema = schema.clone();
    // These two name the groups of the document they are in.
    if name.ends_with("meta.v1.DeleteOptions") || name.ends_with("meta.v1.WatchEvent") {
        schema.as_object_mut().unwrap().remove("x-kubernetes-group-version-kind");
    }
    let mut text = String::new();
    structure(&schema, false, &mut text);
    text
}

/// The first six bytes of the text's SHA-256, as the table holds them.
fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    let number = hash.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:012x}")
}

fn document(name: &str) -> Value {
    serde_json::from_slice(&openapi::document(name).unwrap().json()).unwrap()
}

fn names() -> Vec<String> {
    let index: Value =
        serde_json::from_slice(&openapi::index(std::iter::empty(), std::iter::empty())).unwrap();
    index["paths"].as_object().unwrap().keys().cloned().collect()
}

fn schemas(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["components"]["schemas"].as_object().into_iter().flatten()
}

#[test]
fn every_schema_served_has_the_structure_that_is_published() {
    let published: BTreeMap<&str, &str> = include_str!("fixtures/openapi-digests.tsv")
        .lines()
        .map(|line| line.split_once('\t').map(|(digest, name)| (name, digest)).unwrap())
        .collect();
    let mut compared = 0;
    for document in names().iter().map(|name| document(name)) {
        for (name, schema) in schemas(&document) {
            let text = structure_of(name, schema);
            let digest = digest(&text);
            assert_eq!(published.get(name.as_str()), Some(&digest.as_str()), "{name}: {text}");
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared}");
}

/// Comparisons with the folder that `WHERRY_GOLDEN` names.
#[cfg(feature = "golden")]
mod published {
    use std::path::PathBuf;

    use super::*;

    /// The folder of published documents.
    fn golden() -> PathBuf {
        let folder =
            std::env::var_os("WHERRY_GOLDEN").expect("WHERRY_GOLDEN names the folder of published facts");
        PathBuf::from(folder).join("openapi-v3")
    }

    fn published(name: &str) -> Option<Value> {
        let file = golden().join(format!("{}.json", name.replace('/', "__")));
        std::fs::read(file).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn schemas_equal_those_of_the_published_documents() {
        let mut compared = 0;
        for name in names() {
            let Some(published) = published(&name) else { continue };
            let ours = document(&name);
            let published: BTreeMap<_, _> = schemas(&published).collect();
            for (schema, value) in schemas(&ours) {
                let expected = published.get(schema).unwrap_or_else(|| panic!("{name} has no {schema}"));
                assert_eq!(structure_of(schema, value), structure_of(schema, expected), "{schema}");
                compared += 1;
            }
        }
        assert!(compared > 1000, "{compared}");
    }

    /// What an operation is called, does and takes.
    fn operation(path: &Value, http: &str) -> BTreeMap<String, Value> {
        let operation = &path[http];
        let mut out = BTreeMap::new();
        for key in ["operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind"] {
            out.insert(key.to_owned(), operation[key].clone());
        }
        for (place, holder) in [("path", path), ("operation", operation)] {
            let parameters = holder["parameters"].as_array().into_iter().flatten();
            let shown =
                parameters.map(|p| serde_json::json!([p["name"], p["in"], p["required"], p["schema"]]));
            out.insert(format!("parameters of {place}"), shown.collect());
        }
        out.insert("body".to_owned(), operation["requestBody"].clone());
        out
    }

    #[test]
    fn operations_equal_those_of_the_published_documents() {
        let mut compared = 0;
        for name in names() {
            let Some(published) = published(&name) else { continue };
            for (path, item) in document(&name)["paths"].as_object().unwrap() {
                let expected = &published["paths"][path];
                assert!(expected.is_object(), "{path} is not published");
                for http in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                    assert_eq!(operation(item, http), operation(expected, http), "{http} {path}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 500, "{compared}");
    }
}
