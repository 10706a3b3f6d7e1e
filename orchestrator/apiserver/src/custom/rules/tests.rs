//! Rules as expressions: what is told of objects that break them, and of rules that are wrong themselves.

use std::sync::Arc;

use rstest::rstest;
use wherry_schema::Value;
use wherry_schema::structural::Structural;

use super::check_definition;
use crate::custom::values::Values;
use crate::validation::{Errors, Path};

fn value(json: &str) -> Value {
    Value::from_json(json.as_bytes()).unwrap()
}

fn spec_of(spec: &str) -> Arc<Structural> {
    let schema = format!(r#"{{"type":"object","properties":{{"spec":{spec}}}}}"#);
    Arc::new(Structural::parse(&value(&schema)))
}

fn told(errors: &Errors) -> Vec<String> {
    errors.causes().iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn created(spec: &str, object: &str) -> Vec<String> {
    let mut errors = Errors::default();
    Values::new(spec_of(spec)).check(&value(object), &mut errors);
    told(&errors)
}

fn updated(spec: &str, old: &str, new: &str) -> Vec<String> {
    let mut errors = Errors::default();
    Values::new(spec_of(spec)).check_update(&value(new), &value(old), &mut errors);
    told(&errors)
}

fn defined(spec: &str) -> Vec<String> {
    let mut errors = Errors::default();
    check_definition(&spec_of(spec), &Path::new("s"), &mut errors);
    told(&errors)
}

/// A schema of these properties and rules.
fn with_rules(properties: &str, rules: &str) -> String {
    format!(r#"{{"type":"object","properties":{properties},"x-kubernetes-validations":[{rules}]}}"#)
}

const SIZES: &str =
    r#"{"min":{"type":"integer"},"max":{"type":"integer"},"x-y":{"type":"string","maxLength":9}}"#;

#[rstest]
#[case(r#"{"rule":"self.min <= self.max"}"#, "spec: Invalid value: failed rule: self.min <= self.max")]
#[case(r#"{"rule":"self.min <= self.max","message":" no "}"#, "spec: Invalid value: no")]
#[case(
    r#"{"rule":"self.min <= self.max","messageExpression":"'min is ' + string(self.min)"}"#,
    "spec: Invalid value: min is 2"
)]
#[case(
    r#"{"rule":"self.min <= self.max","message":"m","messageExpression":"' '"}"#,
    "spec: Invalid value: m"
)]
#[case(
    r#"{"rule":"self.min <= self.max","reason":"FieldValueForbidden","fieldPath":".min","message":"m"}"#,
    "spec.min: Forbidden: m"
)]
#[case(
    r#"{"rule":"self.x__dash__y == 'a'","message":"m"}"#,
    "spec: Invalid value: \"object\": no such key: x__dash__y evaluating rule: m"
)]
#[case(r#"{"rule":"oldSelf.min <= self.min"}"#, "")]
#[case(r#"{"rule":"oldSelf.hasValue()","optionalOldSelf":true,"message":"m"}"#, "spec: Invalid value: m")]
fn a_broken_rule_is_told(#[case] rule: &str, #[case] wanted: &str) {
    let found = created(&with_rules(SIZES, rule), r#"{"spec":{"min":2,"max":1}}"#);
    assert_eq!(found.join("; "), wanted);
}

#[test]
fn rules_see_what_every_object_has() {
    let schema = r#"{"type":"object","x-kubernetes-validations":[
        {"rule":"self.metadata.name.startsWith('a') && self.kind == 'K'","message":"m"}]}"#;
    let values = Values::new(Arc::new(Structural::parse(&value(schema))));
    let mut errors = Errors::default();
    values.check(&value(r#"{"kind":"K","metadata":{"name":"a1"}}"#), &mut errors);
    assert!(errors.is_empty());
    values.check(&value(r#"{"kind":"K","metadata":{"name":"b1"}}"#), &mut errors);
    assert_eq!(told(&errors), ["<nil>: Invalid value: m"]);
}

#[test]
fn rules_are_not_tried_on_what_is_of_a_wrong_type() {
    let spec = with_rules(SIZES, r#"{"rule":"self.min <= self.max"}"#);
    let found = created(&spec, r#"{"spec":{"min":"x","max":1}}"#);
    assert_eq!(found.len(), 2);
    let last = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                correct the existing errors to complete validation";
    assert_eq!(found[1], last);
}

#[test]
fn values_are_read_as_their_schema_says() {
    let spec = with_rules(
        r#"{"at":{"type":"string","format":"date-time"},"n":{"type":"number"},
            "tags":{"type":"array","x-kubernetes-list-type":"set","maxItems":3,"items":{"type":"string","maxLength":3}},
            "m":{"type":"object","maxProperties":3,"additionalProperties":{"type":"integer"}},
            "any":{"x-kubernetes-int-or-string":true}}"#,
        r#"{"rule":"self.at > timestamp('2020-01-01T00:00:00Z') && self.n == 2.0 && self.tags == ['b','a'] && self.m['k-1'] == 1 && self.any == 5"}"#,
    );
    assert_eq!(defined(&spec), Vec::<String>::new());
    let object = r#"{"spec":{"at":"2024-01-01T00:00:00Z","n":2,"tags":["a","b"],"m":{"k-1":1},"any":5}}"#;
    assert_eq!(created(&spec, object), Vec::<String>::new());
}

#[test]
fn changes_are_held_to_rules_about_what_was_before() {
    let spec = r#"{"type":"object","properties":{
        "name":{"type":"string","maxLength":5,"x-kubernetes-validations":[{"rule":"self == oldSelf","message":"fixed"}]},
        "ports":{"type":"array","maxItems":5,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
            "items":{"type":"object","properties":{"k":{"type":"string"},"n":{"type":"integer"}},
                "x-kubernetes-validations":[{"rule":"self.n >= oldSelf.n","message":"grows"}]}}}}"#;
    let old = r#"{"spec":{"name":"a","ports":[{"k":"x","n":2},{"k":"y","n":5}]}}"#;
    let new = r#"{"spec":{"name":"b","ports":[{"k":"y","n":4},{"k":"z","n":1}]}}"#;
    let wanted = ["spec.name: Invalid value: \"b\": fixed", "spec.ports[0]: Invalid value: grows"];
    assert_eq!(updated(spec, old, new), wanted);
    assert_eq!(updated(spec, r#"{"spec":{}}"#, new), Vec::<String>::new());
}

#[test]
fn what_was_wrong_before_and_stays_is_let_through() {
    let spec = r#"{"type":"object","properties":{
        "a":{"type":"string","enum":["x"]},"b":{"type":"integer"},
        "c":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 5","message":"m"}]},
        "l":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}}}"#;
    let old = r#"{"spec":{"a":"y","b":1,"c":1,"l":["p","p"]}}"#;
    assert_eq!(updated(spec, old, r#"{"spec":{"a":"y","b":2,"c":1,"l":["p","p"]}}"#), Vec::<String>::new());
    let new = r#"{"spec":{"a":"z","b":2,"c":2,"l":["p","p"]}}"#;
    assert_eq!(updated(spec, old, new)[0], r#"spec.a: Unsupported value: "z": supported values: "x""#);
    let found = updated(spec, old, r#"{"spec":{"a":"y","b":2,"c":2,"l":["p","p"]}}"#);
    assert_eq!(found, ["spec.c: Invalid value: 2: m"]);
}

#[test]
fn of_a_change_of_the_status_only_that_is_held_to_the_schema() {
    let schema = r#"{"type":"object","properties":{"spec":{"type":"string"},"status":{"type":"integer"}},
        "x-kubernetes-validations":[{"rule":"self.status < 5","message":"m"}]}"#;
    let values = Values::new(Arc::new(Structural::parse(&value(schema))));
    let check = |old: &str, new: &str| {
        let mut errors = Errors::default();
        values.check_status(&value(new), &value(old), &mut errors);
        told(&errors)
    };
    let wrong = "status: Invalid value: \"string\":  in body must be of type integer: \"string\"";
    assert_eq!(check(r#"{"spec":1}"#, r#"{"spec":1,"status":"x"}"#)[0], wrong);
    assert_eq!(check(r#"{"spec":1}"#, r#"{"spec":1,"status":6}"#), ["<nil>: Invalid value: m"]);
}

const RULE: &str = "s.properties[spec].x-kubernetes-validations[0]";

#[rstest]
#[case(r#"{"rule":"self.min <= self.max"}"#, "")]
#[case(
    r#"{"rule":"self.min > 'a'"}"#,
    "RULE.rule: Invalid value: {\"Rule\":\"self.min \\u003e 'a'\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:10: found no matching overload for '_>_' applied to '(int, string)'\n | self.min > 'a'\n | .........^"
)]
#[case(
    r#"{"rule":"self.min","message":"m"}"#,
    "RULE.rule: Invalid value: {\"Rule\":\"self.min\",\"Message\":\"m\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: cel expression must evaluate to a bool"
)]
#[case(
    r#"{"rule":"true","optionalOldSelf":true}"#,
    "RULE.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
)]
fn a_rule_that_is_wrong_is_told(#[case] rule: &str, #[case] wanted: &str) {
    assert_eq!(defined(&with_rules(SIZES, rule)).join("; "), wanted.replace("RULE", RULE));
}

#[test]
fn messages_are_expressions_that_give_a_text() {
    let found = defined(&with_rules(SIZES, r#"{"rule":"true","messageExpression":"1"}"#));
    assert!(found[0].starts_with(&format!("{RULE}.messageExpression: Invalid value: ")), "{found:?}");
    assert!(found[0].ends_with(": messageExpression must evaluate to a string"), "{found:?}");
}

#[test]
fn items_of_plain_lists_have_no_past() {
    let spec = r#"{"type":"object","properties":{"l":{"type":"array","maxItems":2,"items":{"type":"integer",
        "x-kubernetes-validations":[{"rule":"self == oldSelf"}]}}}}"#;
    let wanted = "s.properties[spec].properties[l].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": \
                  oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec].properties[l]";
    assert_eq!(defined(spec), [wanted]);
}

#[test]
fn what_could_cost_too_much_is_refused() {
    let spec = r#"{"type":"array","items":{"type":"string","x-kubernetes-validations":[{"rule":"self.matches('a+b+')"}]}}"#;
    let found = defined(spec);
    let hint = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and \
                strings are declared)";
    let rule = "s.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden:";
    let wanted = [
        format!("{rule} estimated rule cost exceeds budget by factor of more than 100x {hint}"),
        format!(
            "{rule} contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        ),
        format!(
            "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds \
             budget by factor of more than 100x {hint}"
        ),
    ];
    assert_eq!(found, wanted);
    let bounded = spec
        .replacen("\"array\"", "\"array\",\"maxItems\":10", 1)
        .replace("\"string\"", "\"string\",\"maxLength\":99");
    assert_eq!(defined(&bounded), Vec::<String>::new());
}
