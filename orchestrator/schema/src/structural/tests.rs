//! Tests of objects of custom kinds: what is kept of them, filled in, told, and owned.

use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;

use super::Structural;
use crate::decode::{DecodeError, FieldValidation, Format, decode};
use crate::managed::{ApplyError, Owners, Set, Versions, Write, fields_of, merge, validate};
use crate::schema::Schema;
use crate::value::Value;
use crate::value::tests::any_value;

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

/// A schema whose `spec` has these properties.
fn with_spec(spec: &str) -> Schema {
    let root = format!(r#"{{"type":"object","properties":{{"spec":{spec}}}}}"#);
    Schema::custom(Arc::new(Structural::parse(&json(&root))))
}

fn read(
    schema: &Schema,
    body: &str,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), DecodeError> {
    decode(body.as_bytes(), Format::Json, schema, validation)
}

const PRESERVE: &str = r#""x-kubernetes-preserve-unknown-fields":true"#;

#[rstest]
#[case(r#"{"properties":{"a":{}}}"#, r#"{"a":1,"b":2}"#, r#"{"a":1}"#)]
#[case(r#"{"properties":{"a":{"type":"object"}}}"#, r#"{"a":{"b":1}}"#, r#"{"a":{}}"#)]
#[case(r"{PRESERVE}", r#"{"b":{"c":1}}"#, r#"{"b":{"c":1}}"#)]
#[case(r#"{PRESERVE,"properties":{"a":{"type":"object"}}}"#, r#"{"a":{"c":1},"b":1}"#, r#"{"a":{},"b":1}"#)]
#[case(r#"{PRESERVE,"items":{"properties":{"a":{}}}}"#, r#"[{"a":1,"b":2}]"#, r#"[{"a":1,"b":2}]"#)]
#[case(r#"{"additionalProperties":{"properties":{"a":{}}}}"#, r#"{"x":{"a":1,"b":2}}"#, r#"{"x":{"a":1}}"#)]
#[case(r#"{"additionalProperties":true}"#, r#"{"x":1,"y":{"b":2}}"#, r#"{"x":1,"y":{}}"#)]
#[case(r#"{"items":{"properties":{"a":{}}}}"#, r#"[{"a":1,"b":2}]"#, r#"[{"a":1}]"#)]
#[case(r#"{"x-kubernetes-embedded-resource":true}"#, r#"{"kind":"K","b":2}"#, r#"{"kind":"K"}"#)]
fn what_is_not_known_is_pruned(#[case] spec: &str, #[case] before: &str, #[case] after: &str) {
    let schema = with_spec(&spec.replace("PRESERVE", PRESERVE));
    let body = format!(r#"{{"metadata":{{"name":"n"}},"spec":{before}}}"#);
    let (found, _) = read(&schema, &body, FieldValidation::Ignore).unwrap();
    assert_eq!(found.to_string(), format!(r#"{{"metadata":{{"name":"n"}},"spec":{after}}}"#));
}

#[test]
fn strict_tells_duplicates_then_unknown_metadata_then_unknown_fields() {
    let schema =
        with_spec(r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}}}"#);
    let body = r#"{"metadata":{"name":"n","nope":1},"spec":{"z":1,"a":[{"y":1}],"z":2},"b":1}"#;
    let message = r#"strict decoding error: duplicate field "spec.z", unknown field "metadata.nope", unknown field "b", unknown field "spec.a[0].y", unknown field "spec.z""#;
    assert_eq!(read(&schema, body, FieldValidation::Strict).unwrap_err().to_string(), message);
    let (value, warnings) = read(&schema, body, FieldValidation::Warn).unwrap();
    assert_eq!(
        (value.to_string().as_str(), warnings.len()),
        (r#"{"metadata":{"name":"n"},"spec":{"a":[{}]}}"#, 5)
    );
}

#[test]
fn metadata_is_that_of_every_object() {
    let schema = with_spec("{}");
    let error = read(&schema, r#"{"metadata":{"labels":{"a":1}}}"#, FieldValidation::Ignore).unwrap_err();
    let message = "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string";
    assert_eq!(error.to_string(), message);
    let (value, _) =
        read(&schema, r#"{"metadata":{"name":"n","uid":null,"labels":{}}}"#, FieldValidation::Strict)
            .unwrap();
    assert_eq!(value.to_string(), r#"{"metadata":{"name":"n"}}"#);
}

#[test]
fn the_metadata_of_embedded_objects_is_read_too() {
    let schema = with_spec(
        r#"{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}"#,
    );
    let body = r#"{"spec":{"kind":"K","metadata":{"name":"n","nope":1},"more":1}}"#;
    let (value, warnings) = read(&schema, body, FieldValidation::Warn).unwrap();
    assert_eq!(warnings, [r#"unknown field "spec.metadata.nope""#]);
    assert_eq!(value.to_string(), r#"{"spec":{"kind":"K","metadata":{"name":"n"},"more":1}}"#);
    let error = read(&schema, r#"{"spec":{"kind":1}}"#, FieldValidation::Warn).unwrap_err();
    assert_eq!(error.to_string(), "spec.kind: Invalid value: 1: must be a string");
}

#[rstest]
#[case(r#"{"type":"integer","default":3}"#, "{}", r#"{"a":3}"#)]
#[case(r#"{"type":"integer","default":3}"#, r#"{"a":null}"#, r#"{"a":3}"#)]
#[case(r#"{"type":"integer","default":3,"nullable":true}"#, r#"{"a":null}"#, r#"{"a":null}"#)]
#[case(r#"{"type":"integer"}"#, r#"{"a":null}"#, "{}")]
#[case(r#"{"type":"integer","nullable":true}"#, r#"{"a":null}"#, r#"{"a":null}"#)]
#[case(r#"{"properties":{"b":{"default":1}}}"#, "{}", "{}")]
#[case(r#"{"default":{},"properties":{"b":{"default":1}}}"#, "{}", r#"{"a":{"b":1}}"#)]
#[case(r#"{"items":{"default":2}}"#, r#"{"a":[null,1]}"#, r#"{"a":[2,1]}"#)]
#[case(r#"{"additionalProperties":{"default":2}}"#, r#"{"a":{"x":null}}"#, r#"{"a":{"x":2}}"#)]
fn defaults_and_nulls_go_as_they_do_upstream(#[case] a: &str, #[case] before: &str, #[case] after: &str) {
    let schema = with_spec(&format!(r#"{{"properties":{{"a":{a}}}}}"#));
    let (mut value, _) = read(&schema, &format!(r#"{{"spec":{before}}}"#), FieldValidation::Ignore).unwrap();
    schema.structural().unwrap().complete(&mut value);
    assert_eq!(value.to_string(), format!(r#"{{"spec":{after}}}"#));
}

/// A kind served in one version.
struct One<'s>(&'s Schema);

impl Versions for One<'_> {
    fn convert<'v>(&'v self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'v Schema)> {
        (api_version == "g/v1").then_some((Cow::Borrowed(object), self.0))
    }
}

fn apply(
    (owners, live): (&mut Owners, &Value),
    config: &str,
    manager: &str,
    schema: &Schema,
) -> Result<Option<Value>, ApplyError> {
    let write = Write {
        manager,
        api_version: "g/v1",
        subresource: "",
        schema,
        ignored: &Set::default(),
        now: "2024-01-01T00:00:00Z",
        versions: &One(schema),
    };
    owners.apply(live, &json(config), false, &write)
}

const PORTS: &str = r#"{"type":"object","properties":{
    "size":{"type":"integer"},
    "tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
    "all":{"type":"array","items":{"type":"string"}},
    "whole":{"type":"object","x-kubernetes-map-type":"atomic","properties":{"a":{"type":"string"}}},
    "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port","protocol"],
        "items":{"type":"object","properties":{
            "port":{"type":"integer"},"protocol":{"type":"string","default":"TCP"},"name":{"type":"string"}}}},
    "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}"#;

#[test]
fn definitions_say_how_parts_are_owned() {
    let schema = with_spec(PORTS);
    let object = json(
        r#"{"metadata":{"name":"n","labels":{"l":"1"}},"spec":{"size":1,"tags":["x"],"all":["y"],"whole":{"a":"b"},
            "ports":[{"port":1,"name":"n"}],"free":{"a":{"b":1},"l":[1]}}}"#,
    );
    let wanted = json(
        r#"{"f:metadata":{"f:labels":{"f:l":{}},"f:name":{}},
        "f:spec":{"f:size":{},"f:tags":{"v:\"x\"":{}},"f:all":{},"f:whole":{},
        "f:ports":{"k:{\"port\":1,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}},
        "f:free":{"f:a":{".":{},"f:b":{}},"f:l":{}}}}"#,
    );
    assert_eq!(fields_of(&object, &schema).to_fields(), wanted);
}

#[test]
fn applying_merges_by_the_definition_and_conflicts_by_it() {
    let schema = with_spec(PORTS);
    let (mut owners, live) = (Owners::default(), Value::object());
    let first = r#"{"spec":{"size":1,"ports":[{"port":1,"name":"a"}],"tags":["x"]}}"#;
    let live = apply((&mut owners, &live), first, "one", &schema).unwrap().unwrap();
    let second = r#"{"spec":{"ports":[{"port":2}],"tags":["y"]}}"#;
    let live = apply((&mut owners, &live), second, "two", &schema).unwrap().unwrap();
    let wanted = r#"{"spec":{"ports":[{"name":"a","port":1},{"port":2}],"size":1,"tags":["x","y"]}}"#;
    assert_eq!(live.to_string(), wanted);
    let taken = apply((&mut owners.clone(), &live), r#"{"spec":{"size":2}}"#, "two", &schema).unwrap_err();
    assert_eq!(taken.to_string(), r#"Apply failed with 1 conflict: conflict with "one": .spec.size"#);
    let live = apply((&mut owners, &live), r#"{"spec":{"size":1}}"#, "one", &schema).unwrap().unwrap();
    assert_eq!(live.to_string(), r#"{"spec":{"ports":[{"port":2}],"size":1,"tags":["y"]}}"#);
}

#[rstest]
#[case(r#"{"spec":{"size":"x"}}"#, ".spec.size: expected numeric (int or float), got string")]
#[case(r#"{"spec":{"nope":1}}"#, ".spec.nope: field not declared in schema")]
#[case(r#"{"spec":{"free":{"nope":1}}}"#, "")]
#[case(r#"{"spec":{"tags":["a","a"]}}"#, r#".spec.tags: duplicate entries for key [="a"]"#)]
fn configurations_are_held_to_the_definition(#[case] config: &str, #[case] told: &str) {
    let found = validate(&json(config), &with_spec(PORTS));
    assert_eq!(found.err().map(|problems| problems.to_string()).unwrap_or_default(), told);
}

proptest! {
    #[test]
    fn no_schema_and_no_value_panic(definition in any_value(), value in any_value()) {
        let structural = Arc::new(Structural::parse(&definition));
        let schema = Schema::custom(Arc::clone(&structural));
        let mut once = value.clone();
        structural.renew(&mut once);
        let mut twice = once.clone();
        structural.renew(&mut twice);
        prop_assert_eq!(&once, &twice);
        let _ = decode(&value.to_json_bytes(), Format::Json, &schema, FieldValidation::Warn);
        let _ = merge(&value, &once, &schema);
        fields_of(&value, &schema);
    }
}
