//! Renders the schemas as the text that `src/schema/load.rs` reads.
//!
//! A line `T <full name> <topology>` opens a type, its lines
//! `F <name> <node> <flags> <patch strategy> <merge key> <topology> <key default>` follow in order of their names, and
//! `K <group> <version> <kind> <type index>` ends the text, all separated by tabs.
//! Nodes: `s` string, `i` int32, `l` int64, `d` float, `b` bool, `I` int-or-string, `Q` quantity, `t` time,
//! `u` time with microseconds, `B` base64 bytes, `*` anything, `{n` map of n, `[n` list of n, `#7` type 7.
//! Flags: `z` left out when zero or empty, `w` written even if not set, `r` zero where an item of a list lacks it.
//! Topologies: `atomic`, `granular`, `set`, or the names of the keys of a list that is a map. The key default is the
//! value that an item without the field is identified by.

use std::fmt::Write;

use serde_json::Value;

use crate::collect::{Definitions, ROOTS, reference};
use crate::facts::{Facts, Merge, short};

pub(crate) fn render(definitions: &Definitions, facts: &Facts) -> String {
    let structs: Vec<&String> = definitions.keys().filter(|name| is_struct(definitions, name)).collect();
    let index = |name: &str| structs.iter().position(|s| *s == name);
    let mut out = String::new();
    for name in &structs {
        writeln!(out, "T\t{name}\t{}", topology(&facts.merge(name, ""))).expect("a String takes everything");
        for (field, schema) in properties(&definitions[*name]) {
            let node = node(schema, &index);
            let flags = flags(name, field, definitions, facts);
            let merge = facts.merge(name, field);
            let (strategy, key) = (&merge.strategy, &merge.key);
            let (topology, default) = (topology(&merge), key_default(name, field));
            writeln!(out, "F\t{field}\t{node}\t{flags}\t{strategy}\t{key}\t{topology}\t{default}")
                .expect("a String takes everything");
        }
    }
    for (group, version, kind, name) in ROOTS {
        let index = index(name).expect("every root has fields");
        writeln!(out, "K\t{group}\t{version}\t{kind}\t{index}").expect("a String takes everything");
    }
    out
}

/// How the parts of a list or map are owned.
fn topology(merge: &Merge) -> &str {
    match merge.list_type.as_str() {
        "map" => &merge.list_map_keys,
        other => other.strip_prefix("map-type:").unwrap_or(other),
    }
}

/// What identifies an item that lacks one of its list's keys, where that is not the zero of its type.
fn key_default(definition: &str, field: &str) -> &'static str {
    match (short(definition).as_str(), field) {
        ("core.v1.ContainerPort" | "core.v1.ServicePort", "protocol") => "TCP",
        _ => "",
    }
}

fn is_struct(definitions: &Definitions, name: &str) -> bool {
    special(name).is_none() && definitions[name].get("type").is_some_and(|kind| kind == "object")
}

/// Types that are not decoded field by field.
fn special(name: &str) -> Option<&'static str> {
    Some(match name.rsplit('.').next()? {
        "IntOrString" => "I",
        "Quantity" => "Q",
        "Time" => "t",
        "MicroTime" => "u",
        "FieldsV1"
        | "RawExtension"
        | "JSON"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrStringArray" => "*",
        _ => return None,
    })
}

/// Fields in order of their names.
fn properties(schema: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> =
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

fn node(schema: &Value, index: &impl Fn(&str) -> Option<usize>) -> String {
    if let Some(name) = reference(schema) {
        return match (special(name), index(name)) {
            (Some(node), _) => node.to_owned(),
            (None, Some(index)) => format!("#{index}"),
            (None, None) => panic!("{name} is neither a struct nor known"),
        };
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if format == "byte" => "B".to_owned(),
        Some("string") => "s".to_owned(),
        Some("integer") if format == "int32" => "i".to_owned(),
        Some("integer") => "l".to_owned(),
        Some("number") => "d".to_owned(),
        Some("boolean") => "b".to_owned(),
        Some("array") => format!("[{}", node(&schema["items"], index)),
        Some("object") => schema
            .get("additionalProperties")
            .map_or_else(|| "*".to_owned(), |of| format!("{{{}", node(of, index))),
        _ => "*".to_owned(),
    }
}

fn flags(definition: &str, field: &str, definitions: &Definitions, facts: &Facts) -> String {
    let parent = &definitions[definition];
    let schema = &parent["properties"][field];
    let required = facts.required(definition, parent).iter().any(|name| name == field);
    let kind = schema["type"].as_str();
    let scalar = matches!(kind, Some("string" | "integer" | "boolean" | "number"));
    let mut flags = String::new();
    let kept = (scalar || kind == Some("array")) && facts.keeps_zero(definition, field);
    // An empty list of owners is not the same as none: it asks to forget them.
    let owners = (short(definition).as_str(), field) == ("meta.v1.ObjectMeta", "managedFields");
    let always = facts.always_written(definition, field, definitions);
    if facts.omits_empty(definition, field) || !(required || kept || owners || always) {
        flags.push('z');
    }
    if always {
        flags.push('w');
    }
    // The name of an object that is referred to is the one optional key with a zero default.
    let named = (short(definition).as_str(), field) == ("core.v1.LocalObjectReference", "name");
    if scalar && (required || named) {
        flags.push('r');
    }
    flags
}
