//! Tests of defaulting: requests and what kube-apiserver makes of them, as far as defaulting goes.

use super::apply;
use crate::decode::{FieldValidation, conform};
use crate::schema::Schemas;
use crate::value::Value;

/// A file of `tests/fixtures/defaults`: group, version, kind, the request and what is expected of it.
struct Fixture(Value);

impl Fixture {
    fn defaulted(&self) -> Value {
        let [group, version, kind] = ["group", "version", "kind"].map(|name| self.0.str_at(&[name]).unwrap());
        let schema = Schemas::builtin().kind(group, version, kind).unwrap();
        let request = self.0.get("request").unwrap();
        let (mut object, _) = conform(request, schema, FieldValidation::Strict).unwrap();
        apply((group, version, kind), &mut object);
        let once = object.clone();
        apply((group, version, kind), &mut object);
        assert_eq!(object.to_string(), once.to_string(), "defaulting twice changes something");
        object
    }
}

#[test]
fn requests_become_what_is_expected() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/defaults");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 15);
    for file in files {
        let fixture = Fixture(Value::from_json(&std::fs::read(&file).unwrap()).unwrap());
        let expected = fixture.0.get("expected").unwrap().to_string();
        assert_eq!(fixture.defaulted().to_string(), expected, "{}", file.display());
    }
}

#[test]
fn what_is_no_object_of_the_kind_is_left_alone() {
    for json in ["null", "[]", "1", r#"{"spec":1}"#, r#"{"spec":{"containers":1,"volumes":[1]}}"#] {
        for kind in wherry_api::kinds::rows() {
            let mut value = Value::from_json(json.as_bytes()).unwrap();
            apply((kind.group, kind.version, kind.kind), &mut value);
        }
    }
    let mut unknown = Value::object();
    apply(("x", "v1", "Y"), &mut unknown);
    assert_eq!(unknown, Value::object());
}
