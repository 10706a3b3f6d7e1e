//! Tests of decoding: what kube-apiserver answers to the same bodies, and that no body panics.

use std::fmt::Write;

use proptest::prelude::*;
use rstest::rstest;

use super::{DecodeError, FieldValidation, Format, conform, decode, type_meta};
use crate::schema::{Schema, Schemas};
use crate::value::Value;

fn schema(kind: &str) -> &'static Schema {
    let group = if matches!(kind, "Deployment" | "ReplicaSet") { "apps" } else { "" };
    let group = if kind == "Lease" { "coordination.k8s.io" } else { group };
    Schemas::builtin().kind(group, "v1", kind).unwrap()
}

fn json(kind: &str, body: &str, validation: FieldValidation) -> Result<(Value, Vec<String>), DecodeError> {
    decode(body.as_bytes(), Format::Json, schema(kind), validation)
}

/// The decoded object as JSON.
fn decoded(kind: &str, body: &str) -> String {
    json(kind, body, FieldValidation::Strict).unwrap().0.to_string()
}

fn refused(kind: &str, body: &str) -> String {
    json(kind, body, FieldValidation::Ignore).unwrap_err().to_string()
}

const UNKNOWN: &str =
    r#"{"kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","nope":true}],"whoops":1}}"#;
const DUPLICATE: &str = r#"{"metadata":{"name":"d","name":"d"},"data":{"a":"1","a":"2","a":"2"}}"#;

#[test]
fn strict_refuses_unknown_fields_in_the_order_of_the_text() {
    let error = json("Pod", UNKNOWN, FieldValidation::Strict).unwrap_err();
    let message =
        r#"strict decoding error: unknown field "spec.containers[0].nope", unknown field "spec.whoops""#;
    assert_eq!(error.to_string(), message);
}

#[test]
fn warn_tells_and_ignore_is_silent_and_both_drop_unknown_fields() {
    let (value, warnings) = json("Pod", UNKNOWN, FieldValidation::Warn).unwrap();
    assert_eq!(warnings, [r#"unknown field "spec.containers[0].nope""#, r#"unknown field "spec.whoops""#]);
    assert_eq!(value.at(&["spec"]).unwrap().to_string(), r#"{"containers":[{"name":"c"}]}"#);
    let (silent, warnings) = json("Pod", UNKNOWN, FieldValidation::Ignore).unwrap();
    assert_eq!((silent, warnings.len()), (value, 0));
}

#[test]
fn duplicates_are_told_once_and_the_last_wins() {
    let error = json("ConfigMap", DUPLICATE, FieldValidation::Strict).unwrap_err();
    let message = r#"strict decoding error: duplicate field "metadata.name", duplicate field "data.a""#;
    assert_eq!(error.to_string(), message);
    let (value, _) = json("ConfigMap", DUPLICATE, FieldValidation::Warn).unwrap();
    assert_eq!(value.str_at(&["data", "a"]), Some("2"));
}

#[test]
fn duplicates_are_found_in_large_maps() {
    let entries: Vec<String> = (0..40).map(|n| format!(r#""k{n}":"""#)).collect();
    let body = format!(r#"{{"data":{{{},"k39":"x","k0":"x"}}}}"#, entries.join(","));
    let (value, warnings) = json("ConfigMap", &body, FieldValidation::Warn).unwrap();
    assert_eq!(warnings, [r#"duplicate field "data.k39""#, r#"duplicate field "data.k0""#]);
    assert_eq!(value.at(&["data"]).unwrap().as_object().unwrap().len(), 40);
}

#[test]
fn names_match_exactly() {
    let error = json("Pod", r#"{"Metadata":{}}"#, FieldValidation::Strict).unwrap_err();
    assert_eq!(error.to_string(), r#"strict decoding error: unknown field "Metadata""#);
}

#[rstest]
#[case("ConfigMap", r#"{"data":{"a":1}}"#, "number into Go struct field ConfigMap.data of type string")]
#[case(
    "ConfigMap",
    r#"{"metadata":"x"}"#,
    "string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"
)]
#[case(
    "ConfigMap",
    r#"{"metadata":{"labels":{"a":true}}}"#,
    "bool into Go struct field ObjectMeta.metadata.labels of type string"
)]
#[case(
    "Deployment",
    r#"{"spec":{"replicas":"x"}}"#,
    "string into Go struct field DeploymentSpec.spec.replicas of type int32"
)]
#[case(
    "Deployment",
    r#"{"spec":{"replicas":1.5}}"#,
    "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
)]
#[case(
    "Deployment",
    r#"{"spec":{"replicas":99999999999}}"#,
    "number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32"
)]
#[case(
    "Service",
    r#"{"spec":{"ports":[{"port":1,"targetPort":true}]}}"#,
    "bool into Go struct field ServicePort.spec.ports.targetPort of type int32"
)]
#[case(
    "Pod",
    r#"{"spec":{"containers":{}}}"#,
    "object into Go struct field PodSpec.spec.containers of type []v1.Container"
)]
#[case(
    "Pod",
    r#"{"spec":{"containers":[{"resources":{"limits":[]}}]}}"#,
    "array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList"
)]
#[case("Pod", "[]", "array into Go value of type v1.Pod")]
fn wrong_types_read_as_those_of_go(#[case] kind: &str, #[case] body: &str, #[case] tail: &str) {
    assert_eq!(refused(kind, body), format!("json: cannot unmarshal {tail}"));
}

#[rstest]
#[case("ConfigMap", r#"{"binaryData":{"a":"%%"}}"#, "illegal base64 data at input byte 0")]
#[case(
    "ConfigMap",
    r#"{"metadata":{"creationTimestamp":"x"}}"#,
    r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#
)]
#[case(
    "Pod",
    r#"{"spec":{"overhead":{"cpu":"x"}}}"#,
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)]
#[case("Pod", r#"{"spec":{"replicas":1"#, "unexpected end of JSON input")]
#[case("Pod", r#"{"metadata":"x"} x"#, "invalid character 'x' after top-level value")]
fn bad_content_is_refused(#[case] kind: &str, #[case] body: &str, #[case] message: &str) {
    assert_eq!(refused(kind, body), message);
}

#[test]
fn quantities_and_times_become_canonical() {
    let body = r#"{"resources":{"limits":{"cpu":0.5,"memory":1e3,"a":"1024Mi","b":"1000m"}}}"#;
    let pod = decoded("Pod", &format!(r#"{{"spec":{{"containers":[{body}]}}}}"#));
    assert!(pod.contains(r#"{"a":"1Gi","b":"1","cpu":"500m","memory":"1e3"}"#), "{pod}");
    let body = r#"{"metadata":{"creationTimestamp":"2024-01-01T02:00:00.5+02:00"},"spec":{"renewTime":"2024-01-01T01:00:00.000000+01:00"}}"#;
    let lease = decoded("Lease", body);
    assert!(lease.contains(r#""creationTimestamp":"2024-01-01T00:00:00Z""#), "{lease}");
    assert!(lease.contains(r#""renewTime":"2024-01-01T00:00:00.000000Z""#), "{lease}");
}

#[rstest]
#[case("Pod", r#"{"metadata":null,"spec":{"nodeName":null,"priority":null}}"#, r#"{"spec":{}}"#)]
#[case("ConfigMap", r#"{"data":{"a":null}}"#, r#"{"data":{"a":""}}"#)]
#[case("Pod", r#"{"spec":{"containers":[null]}}"#, r#"{"spec":{"containers":[{}]}}"#)]
#[case("Pod", "null", "{}")]
#[case("Pod", r#"{"spec":{"hostNetwork":false,"priority":0}}"#, r#"{"spec":{"priority":0}}"#)]
#[case("Pod", r#"{"metadata":{"labels":{},"name":""}}"#, r#"{"metadata":{}}"#)]
#[case("Pod", r#"{"spec":{"volumes":[{"emptyDir":{}}]}}"#, r#"{"spec":{"volumes":[{"emptyDir":{}}]}}"#)]
#[case("Pod", r#"{"spec":{"volumes":[],"securityContext":{}}}"#, r#"{"spec":{"securityContext":{}}}"#)]
#[case("ConfigMap", r#"{"immutable":false}"#, r#"{"immutable":false}"#)]
#[case(
    "ConfigMap",
    r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{".":{},"f:a":null}}}]}}"#,
    r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{".":{},"f:a":null}}}]}}"#
)]
fn nulls_and_zeros_go_as_they_do_upstream(#[case] kind: &str, #[case] body: &str, #[case] left: &str) {
    assert_eq!(decoded(kind, body), left);
}

#[test]
fn a_syntax_error_comes_before_a_wrong_type_and_that_before_unknown_fields() {
    assert!(refused("Pod", r#"{"metadata":"x","#).contains("unexpected end"));
    let both = json("Pod", r#"{"nope":1,"metadata":"x"}"#, FieldValidation::Strict).unwrap_err();
    assert!(matches!(both, DecodeError::Type(_)));
}

#[test]
fn yaml_decodes_as_json_does() {
    let body = b"metadata: {name: c}\ndata:\n  a: x\n  b: 'yes'\nbogus: 1\n";
    let (value, warnings) = decode(body, Format::Yaml, schema("ConfigMap"), FieldValidation::Warn).unwrap();
    assert_eq!(value.to_string(), r#"{"data":{"a":"x","b":"yes"},"metadata":{"name":"c"}}"#);
    assert_eq!(warnings, [r#"unknown field "bogus""#]);
}

#[test]
fn yaml_has_the_booleans_and_octals_of_1_1() {
    let yaml = |body: &str| {
        decode(body.as_bytes(), Format::Yaml, schema("ConfigMap"), FieldValidation::Strict)
            .unwrap_err()
            .to_string()
    };
    let message = "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string";
    assert_eq!(yaml("data:\n  a: x\n  a: y\n"), message);
    let body = b"spec:\n  volumes:\n  - secret: {defaultMode: 0400}\n";
    let (value, _) = decode(body, Format::Yaml, schema("Pod"), FieldValidation::Strict).unwrap();
    assert_eq!(value.pointer("/spec/volumes/0/secret/defaultMode"), Some(&Value::Int(256)));
}

#[test]
fn yaml_duplicates_are_told_with_their_line() {
    let body = b"data:\n  a: x\n  a: z\n";
    let (value, warnings) = decode(body, Format::Yaml, schema("ConfigMap"), FieldValidation::Warn).unwrap();
    assert_eq!(value.str_at(&["data", "a"]), Some("z"));
    assert_eq!(warnings, ["yaml: unmarshal errors:\n  line 3: key \"a\" already set in map"]);
}

#[rstest]
#[case("a: b: c")]
#[case("{")]
#[case("a: &a [*a]")]
fn bad_yaml_is_refused(#[case] body: &str) {
    let error = type_meta(body.as_bytes(), Format::Yaml).unwrap_err();
    assert!(error.to_string().starts_with("error converting YAML to JSON: yaml: "), "{error}");
}

#[test]
fn aliases_cannot_blow_up() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let refs = vec![format!("*a{}", n - 1); 9].join(",");
        writeln!(bomb, "a{n}: &a{n} [{refs}]").unwrap();
    }
    assert!(matches!(type_meta(bomb.as_bytes(), Format::Yaml), Err(DecodeError::Yaml(_))));
}

#[test]
fn type_meta_reads_nothing_else() {
    let meta = type_meta(br#"{"metadata":[],"kind":"K","apiVersion":"g/v"}"#, Format::Json).unwrap();
    assert_eq!((meta.api_version.as_str(), meta.kind.as_str()), ("g/v", "K"));
    assert_eq!(type_meta(b"null", Format::Json).unwrap().kind, "");
    let array = type_meta(b"[]", Format::Json).unwrap_err().to_string();
    let go = r#"json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    assert_eq!(array, go);
    let number = type_meta(br#"{"kind":1}"#, Format::Json).unwrap_err().to_string();
    assert_eq!(number, "json: cannot unmarshal number into Go struct field .kind of type string");
}

#[rstest]
#[case("Deployment", r#"{"spec":{"replicas":"x"}}"#, "unrecognized type: int32")]
#[case("Deployment", r#"{"spec":[]}"#, "cannot restore struct from: slice")]
#[case("ConfigMap", r#"{"data":{"a":1}}"#, "cannot convert int64 to string")]
#[case("ConfigMap", r#"{"data":"a"}"#, "cannot restore map from string")]
fn conversions_have_words_of_their_own(#[case] kind: &str, #[case] body: &str, #[case] message: &str) {
    let value = Value::from_json(body.as_bytes()).unwrap();
    let error = conform(&value, schema(kind), FieldValidation::Ignore).unwrap_err();
    let DecodeError::Type(mismatch) = error else { panic!("{error}") };
    assert_eq!(mismatch.conversion_message(), message);
}

/// JSON texts that are nearly Pods.
fn podlike() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "metadata",
        "spec",
        "containers",
        "name",
        "labels",
        "resources",
        "limits",
        "cpu",
        "ports",
        "env",
        "status",
        "creationTimestamp",
        "volumes",
        "x",
    ]);
    let leaf = prop::sample::select(vec!["null", "1", "-1.5e3", "true", "\"a\"", "\"1Gi\"", "[]", "{}", ""]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 4, move |inner| {
        let entry = (names.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics(body in podlike(), cut in 0_usize..200) {
        let cut = body.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(body.len());
        for kind in ["Pod", "Secret", "Lease"] {
            let _ = json(kind, &body[..cut], FieldValidation::Strict);
        }
    }

    #[test]
    fn what_was_decoded_decodes_to_itself(body in podlike()) {
        if let Ok((value, _)) = json("Pod", &body, FieldValidation::Ignore) {
            let (again, warnings) = conform(&value, schema("Pod"), FieldValidation::Warn).unwrap();
            prop_assert_eq!(again, value);
            prop_assert_eq!(warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn no_bytes_panic_as_yaml(bytes in "[a-c:\\-{}\\[\\]&*!|>'\"\n ,?%@]{0,40}") {
        let _ = decode(bytes.as_bytes(), Format::Yaml, schema("Pod"), FieldValidation::Warn);
    }
}
