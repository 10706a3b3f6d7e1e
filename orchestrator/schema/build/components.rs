//! The schemas as components of OpenAPI v3 documents, with Kubernetes' extensions.

use serde_json::{Map, Value, json};
use wherry_api::kinds::rows;

use crate::collect::{Definitions, ROOTS, reference};
use crate::facts::{Facts, Merge};
use crate::operations::reference_to;
use crate::words::TYPE_META;

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Every schema by full name, lists of the kinds included.
pub(crate) fn components(definitions: &Definitions, facts: &Facts) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        definitions.keys().map(|name| (name.clone(), component(name, definitions, facts))).collect();
    for (group, version, kind, name) in ROOTS {
        // What is of no group belongs to the core.
        let group = if *group == "meta.k8s.io" { "" } else { group };
        all[*name]["x-kubernetes-group-version-kind"] =
            json!([{"group": group, "version": version, "kind": kind}]);
    }
    for kind in ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions"] {
        let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
        all[&name]["x-kubernetes-group-version-kind"] = json!([{"group": "", "version": "v1", "kind": kind}]);
    }
    for kind in rows() {
        let (_, _, _, item) = ROOTS
            .iter()
            .find(|root| (root.0, root.1, root.2) == (kind.group, kind.version, kind.kind))
            .expect("every kind served is a root");
        all.insert(format!("{item}List"), list(kind.group, kind.version, kind.kind, item));
    }
    all.insert(
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned(),
        json!({
            "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
            "type": "object",
        }),
    );
    all.insert("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent".to_owned(), watch_event());
    all
}

/// An event of a watch, of which k8s-openapi has only a generic form.
fn watch_event() -> Value {
    let object = "Object is:\n * If Type is Added or Modified: the new state of the object.\n * If Type is Deleted: the state \
                  of the object immediately before deletion.\n * If Type is Error: *Status is recommended; other types may \
                  make sense\n   depending on context.";
    json!({
        "description": "Event represents a single event to a watched resource.",
        "type": "object",
        "required": ["type", "object"],
        "properties": {
            "object": {
                "description": object,
                "allOf": [reference_to("io.k8s.apimachinery.pkg.runtime.RawExtension")],
            },
            "type": {"type": "string", "default": ""},
        },
    })
}

fn component(name: &str, definitions: &Definitions, facts: &Facts) -> Value {
    let schema = &definitions[name];
    let bare = name.rsplit('.').next().unwrap_or(name);
    let mut out = Map::new();
    copy(schema, &mut out, &["description"]);
    match bare {
        "IntOrString" => {
            out.insert("format".into(), "int-or-string".into());
            out.insert("oneOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
        }
        "Quantity" => drop(out.insert("oneOf".into(), json!([{"type": "string"}, {"type": "number"}]))),
        // Any JSON value, not only an object.
        "JSON" => {}
        _ => copy(schema, &mut out, &["type", "format"]),
    }
    let required = facts.required(name, schema);
    if !required.is_empty() {
        out.insert("required".into(), required.into());
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let properties: Map<String, Value> = properties
            .keys()
            .map(|field| (field.clone(), property(name, field, definitions, facts)))
            .collect();
        out.insert("properties".into(), properties.into());
    }
    extensions(&facts.merge(name, ""), &mut out);
    if let Some(unions) = facts.published(name, "", "unions") {
        let unions: Value = serde_json::from_str(unions).expect("the table holds JSON");
        out.insert("x-kubernetes-unions".into(), unions);
    }
    out.into()
}

fn copy(from: &Value, to: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name) {
            to.insert((*name).to_owned(), value.clone());
        }
    }
}

fn property(definition: &str, field: &str, definitions: &Definitions, facts: &Facts) -> Value {
    let schema = &definitions[definition]["properties"][field];
    let mut out = Map::new();
    copy(schema, &mut out, &["description"]);
    let default = facts.default(definition, field, definitions);
    match reference(schema) {
        // A reference stands alone unless something is said beside it.
        Some(target) if default.is_none() && out.is_empty() => {
            out.insert("$ref".into(), format!("#/components/schemas/{target}").into());
        }
        Some(target) => {
            out.insert("allOf".into(), json!([reference_to(target)]));
        }
        None => {
            copy(schema, &mut out, &["type", "format"]);
            let values = facts.published(definition, field, "item-enum");
            for part in ["items", "additionalProperties"] {
                if let Some(of) = schema.get(part) {
                    out.insert(part.to_owned(), enumerated(element(of), values));
                }
            }
        }
    }
    if let Some(default) = default {
        out.insert("default".into(), default);
    }
    extensions(&facts.merge(definition, field), &mut out);
    enumerated(out.into(), facts.published(definition, field, "enum"))
}

/// Adds the values a string may have.
fn enumerated(mut schema: Value, values: Option<&str>) -> Value {
    if let Some(values) = values {
        schema["enum"] = values.split(',').collect::<Vec<_>>().into();
    }
    schema
}

/// What a list or map holds.
fn element(schema: &Value) -> Value {
    if let Some(target) = reference(schema) {
        return reference_to(target);
    }
    let mut out = Map::new();
    copy(schema, &mut out, &["description", "type", "format"]);
    for part in ["items", "additionalProperties"] {
        if let Some(of) = schema.get(part) {
            out.insert(part.to_owned(), element(of));
        }
    }
    out.into()
}

fn extensions(merge: &Merge, out: &mut Map<String, Value>) {
    let mut set = |name: &str, value: Value| drop(out.insert(format!("x-kubernetes-{name}"), value));
    if !merge.strategy.is_empty() {
        set("patch-strategy", merge.strategy.as_str().into());
    }
    if !merge.key.is_empty() {
        set("patch-merge-key", merge.key.as_str().into());
    }
    match merge.list_type.strip_prefix("map-type:") {
        Some(map_type) => set("map-type", map_type.into()),
        None if !merge.list_type.is_empty() => set("list-type", merge.list_type.as_str().into()),
        None => {}
    }
    if !merge.list_map_keys.is_empty() {
        set("list-map-keys", merge.list_map_keys.split(',').collect::<Vec<_>>().into());
    }
}

fn list(group: &str, version: &str, kind: &str, item: &str) -> Value {
    let mut properties = Map::new();
    for (name, description) in TYPE_META {
        properties.insert(name.to_owned(), json!({"description": description, "type": "string"}));
    }
    let items = json!({
        "description": format!("The {kind} objects of the list."), "type": "array", "items": reference_to(item),
    });
    properties.insert("items".to_owned(), items);
    let metadata = json!({
        "description": "Standard list metadata.", "default": {}, "allOf": [reference_to(LIST_META)],
    });
    properties.insert("metadata".to_owned(), metadata);
    json!({
        "description": format!("{kind}List is a list of {kind} objects."),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": format!("{kind}List")}],
    })
}
