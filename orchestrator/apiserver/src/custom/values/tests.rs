//! What is wrong with a value by its schema.

use proptest::prelude::*;
use wherry_schema::Value;
use wherry_schema::structural::Structural;

use super::walk;
use crate::validation::{Errors, Path};

fn value(json: &str) -> Value {
    Value::from_json(json.as_bytes()).unwrap()
}

fn schema(json: &str) -> Structural {
    Structural::parse(&value(json))
}

fn told(schema_json: &str, value_json: &str) -> Vec<String> {
    let mut errors = Errors::default();
    walk::check(&schema(schema_json), &value(value_json), &Path::new("v"), &mut errors);
    errors.causes().iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn what_is_wrong_with_a_value_is_told() {
    for (schema, value, wanted) in [
        (
            r#"{"type":"string"}"#,
            "1",
            "v: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
        ),
        (r#"{"type":"string","nullable":true}"#, "null", ""),
        (
            r#"{"type":"string"}"#,
            "null",
            "v: Invalid value: \"null\":  in body must be of type string: \"null\"",
        ),
        (r#"{"type":"number"}"#, "1", ""),
        (
            r#"{"type":"integer"}"#,
            "1.5",
            "v: Invalid value: \"number\":  in body must be of type integer: \"number\"",
        ),
        (r#"{"x-kubernetes-int-or-string":true}"#, "\"a\"", ""),
        (
            r#"{"x-kubernetes-int-or-string":true}"#,
            "true",
            "v: Invalid value: \"boolean\":  in body must be of type integer,string: \"boolean\"",
        ),
        (r#"{"enum":["a",1]}"#, "\"b\"", "v: Unsupported value: \"b\": supported values: \"a\", \"1\""),
        (r#"{"maxLength":1}"#, "\"bb\"", "v: Too long: may not be more than 1 bytes"),
        (
            r#"{"minLength":3}"#,
            "\"bb\"",
            "v: Invalid value: \"bb\":  in body should be at least 3 chars long",
        ),
        (r#"{"pattern":"^a$"}"#, "\"b\"", "v: Invalid value: \"b\":  in body should match '^a$'"),
        (r#"{"maximum":3}"#, "4", "v: Invalid value: 4:  in body should be less than or equal to 3"),
        (
            r#"{"minimum":3,"exclusiveMinimum":true}"#,
            "3",
            "v: Invalid value: 3:  in body should be greater than 3",
        ),
        (r#"{"multipleOf":2}"#, "3", "v: Invalid value: 3:  in body should be a multiple of 2"),
        (r#"{"maxItems":1}"#, "[1,2]", "v: Too many: 2: must have at most 1 items"),
        (r#"{"minProperties":1}"#, "{}", "v: Invalid value: 0:  in body should have at least 1 properties"),
        (r#"{"required":["a"]}"#, "{}", "v.a: Required value"),
        (
            r#"{"properties":{"a":{"type":"array","items":{"type":"string"}}}}"#,
            r#"{"a":[1]}"#,
            "v.a[0]: Invalid value: \"integer\": a[0] in body must be of type string: \"integer\"",
        ),
        (
            r#"{"additionalProperties":{"type":"boolean"}}"#,
            r#"{"a":1}"#,
            "v.a: Invalid value: \"integer\": a in body must be of type boolean: \"integer\"",
        ),
        (
            r#"{"anyOf":[{"minimum":3},{"maximum":1}]}"#,
            "2",
            "v: Invalid value: \"\": \"\" must validate at least one schema (anyOf); \
             v: Invalid value: 2:  in body should be greater than or equal to 3",
        ),
        (
            r#"{"oneOf":[{"minimum":1},{"maximum":3}]}"#,
            "2",
            "v: Invalid value: \"\": \"\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (r#"{"not":{"minimum":1}}"#, "2", "v: Invalid value: \"\": \"\" must not validate the schema (not)"),
    ] {
        assert_eq!(told(schema, value).join("; "), wanted, "{schema} {value}");
    }
}

proptest! {
    #[test]
    fn no_schema_and_no_value_make_it_fail(schema in "\\PC{0,40}", text in "\\PC{0,40}") {
        let schema = Value::from_json(schema.as_bytes()).unwrap_or_default();
        let value = Value::from_json(text.as_bytes()).unwrap_or(Value::from(text));
        let schema = Structural::parse(&schema);
        walk::check(&schema, &value, &Path::new("v"), &mut Errors::default());
    }
}
