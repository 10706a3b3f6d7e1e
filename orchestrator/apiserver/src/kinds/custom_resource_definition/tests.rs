//! Definitions as upstream judges them.

use serde_json::{Value, json};

use crate::kinds::{Rules, told};

fn definition(schema: &Value) -> Value {
    json!({
        "metadata": { "name": "gvs.golden.example.com" },
        "spec": {
            "group": "golden.example.com",
            "scope": "Namespaced",
            "names": { "plural": "gvs", "kind": "Kgv" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    })
}

/// What is told of a definition whose objects have this in their spec, without the path to it.
fn told(schema: &Value) -> String {
    let whole = json!({ "type": "object", "properties": { "a": schema } });
    let text = told::of_new("customresourcedefinitions.apiextensions.k8s.io", definition(&whole));
    text.replace("spec.validation.openAPIV3Schema.properties[a]", "a")
}

#[test]
fn schemas_are_structural() {
    for (schema, wanted) in [
        (json!({ "type": "string" }), ""),
        (json!({ "type": "array" }), "a.items: Required value: must be specified"),
        (
            json!({ "type": "object", "anyOf": [{ "properties": { "metadata": {} } }], "properties": { "metadata": { "type": "object" } } }),
            "a.anyOf[0].properties[metadata]: Forbidden: must not be specified in a nested context",
        ),
        (
            json!({ "type": "string", "allOf": [{ "x-kubernetes-validations": [{ "rule": "true" }] }] }),
            "a.allOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural",
        ),
        (
            json!({ "type": "string", "pattern": "(" }),
            "a.pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: \
             missing closing ): `(`",
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] }),
            "",
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "allOf": [{ "anyOf": [{ "type": "integer" }, { "type": "string" }] }, { "pattern": "a" }] }),
            "",
        ),
    ] {
        assert_eq!(told(&schema), wanted, "{schema}");
    }
}

#[test]
fn defaults_fit_their_schema() {
    for (schema, wanted) in [
        (json!({ "type": "string", "default": "x" }), ""),
        (json!({ "type": "string", "default": null }), ""),
        (
            json!({ "type": "object", "default": { "b": 1 } }),
            "a.default: Invalid value: {\"b\":1}: must not have unknown fields",
        ),
        (
            json!({ "type": "object", "default": { "b": 1 }, "properties": { "b": { "type": "string" } } }),
            "a.default.b: Invalid value: \"integer\": b in body must be of type string: \"integer\"",
        ),
        (
            json!({ "type": "string", "enum": ["x"], "default": "y" }),
            "a.default: Unsupported value: \"y\": supported values: \"x\"",
        ),
        (
            json!({ "type": "integer", "maximum": 3, "default": 4 }),
            "a.default: Invalid value: 4:  in body should be less than or equal to 3",
        ),
    ] {
        assert_eq!(told(&schema), wanted, "{schema}");
    }
}

#[test]
fn rules_and_lists_are_well_formed() {
    let items = |more: Value| {
        let mut list = json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": { "type": "object", "required": ["k"], "properties": { "k": { "type": "string" } } } });
        if let (Some(list), Value::Object(more)) = (list.as_object_mut(), more) {
            list.extend(more);
        }
        list
    };
    for (schema, wanted) in [
        (items(json!({})), ""),
        (
            items(json!({ "x-kubernetes-list-map-keys": ["k", "k"] })),
            "a.x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\"]: must not contain duplicate entries",
        ),
        (
            items(json!({ "x-kubernetes-list-map-keys": ["z"] })),
            "a.x-kubernetes-list-map-keys: Invalid value: [\"z\"]: entries must all be names of item properties",
        ),
        (
            json!({ "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string", "nullable": true } }),
            "a.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set",
        ),
        (
            json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "true", "fieldPath": ".z" }] }),
            "a.x-kubernetes-validations[0].fieldPath: Invalid value: \".z\": must be a valid path",
        ),
        (
            json!({ "type": "object", "x-kubernetes-validations": [{ "rule": " ", "message": " " }] }),
            "a.x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
    ] {
        assert_eq!(told(&schema), wanted, "{schema}");
    }
}

#[test]
fn formats_that_nobody_looks_at_are_warned_of() {
    let whole = json!({ "type": "object", "properties": {
        "a": { "type": "string", "format": "nope" },
        "b": { "type": "string", "format": "date-time" },
        "c": { "type": "integer", "format": "nope" },
        "d": { "type": "array", "items": { "type": "string", "format": "other" } },
    } });
    let resource = "customresourcedefinitions.apiextensions.k8s.io";
    let object = told::object(resource, definition(&whole));
    let wanted = ["unrecognized format \"nope\"", "unrecognized format \"other\""];
    assert_eq!(super::CustomResourceDefinition.warnings(&object), wanted);
}
