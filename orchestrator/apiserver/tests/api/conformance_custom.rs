//! What the conformance suite says of objects of custom kinds and of what OpenAPI tells of them. Each test does what the
//! description of its name says.

use serde_json::{Value, json};

use crate::custom::DEFINITIONS;
use crate::harness::{Answer, Api};

/// A definition in this group of a kind, with versions and their schemas.
fn definition(group: &str, kind: &str, versions: &[(&str, &Value)]) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, (name, schema))| {
            json!({"name": name, "served": true, "storage": index == 0, "schema": {"openAPIV3Schema": schema}})
        })
        .collect();
    json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": versions,
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
        },
    })
}

/// The schema of the suite: objects, lists and scalars.
fn validating() -> Value {
    json!({"type": "object", "description": "Foo CRD for Testing", "properties": {
        "spec": {"type": "object", "description": "Specification of Foo", "properties": {
            "bars": {"type": "array", "description": "List of Bars and their specs.", "items": {
                "type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string", "description": "Name of Bar."},
                    "age": {"type": "string", "description": "Age of Bar."},
                    "bazs": {"type": "array", "items": {"type": "string"}, "description": "List of Bazs."},
                },
            }},
        }},
        "status": {"type": "object", "description": "Status of Foo"},
    }})
}

/// Keeps whatever is in objects.
fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

const FOOS: &str = "/apis/foo.example.com/v1/namespaces/default/foos";

/// A server with Foos of this schema.
async fn with_foos(schema: &Value) -> Api {
    let api = Api::start().await;
    api.define(&definition("foo.example.com", "Foo", &[("v1", schema)])).await;
    api
}

fn foo(name: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": "foo.example.com/v1", "kind": "Foo", "metadata": {"name": name}});
    for (field, value) in more.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

/// Creates and applies an object, unknown fields being refused, as kubectl does.
async fn create_and_apply(api: &Api, more: &Value) -> [Answer; 2] {
    let created = api.post(&format!("{FOOS}?fieldValidation=Strict"), &foo("created", more)).await;
    let path = format!("{FOOS}/applied?fieldManager=kubectl&fieldValidation=Strict");
    let body = foo("applied", more).to_string();
    [created, api.raw("PATCH", &path, "application/apply-patch+yaml", body).await]
}

/// The schema of an object in the document of its version.
async fn published(api: &Api, name: &str, of: &str) -> Option<Value> {
    let index = api.get("/openapi/v3").await.expect(200);
    let url = index["paths"][name]["serverRelativeURL"].as_str()?;
    let mut document = api.get(url).await.expect(200);
    Some(document["components"]["schemas"][of].take()).filter(Value::is_object)
}

/// Whether the document of the older form has this schema.
async fn in_version_2(api: &Api, of: &str) -> bool {
    api.get("/openapi/v2").await.expect(200)["definitions"][of].is_object()
}

#[tokio::test]
async fn server_side_field_validation_unknown_fields_cr_no_validation_schema() {
    let api = with_foos(&open()).await;
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"unknown": "x", "more": [1]}})).await;
    assert_eq!(created.expect(201)["spec"]["unknown"], "x");
    assert_eq!(applied.expect(201)["spec"]["more"], json!([1]));
}

#[tokio::test]
async fn server_side_field_validation_valid_cr_with_validation_schema() {
    let api = with_foos(&validating()).await;
    let bars = json!({"spec": {"bars": [{"name": "a", "age": "1", "bazs": ["b"]}]}});
    let [created, applied] = create_and_apply(&api, &bars).await;
    assert_eq!(created.expect(201)["spec"], bars["spec"]);
    assert_eq!(applied.expect(201)["spec"], bars["spec"]);
}

#[tokio::test]
async fn server_side_field_validation_unknown_fields_cr_fails_validation() {
    let api = with_foos(&validating()).await;
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"nope": 1}})).await;
    assert!(
        created.text.contains(r#"strict decoding error: unknown field \"spec.nope\""#),
        "{}",
        created.text
    );
    created.expect(400);
    assert!(applied.text.contains(".spec.nope: field not declared in schema"), "{}", applied.text);
    assert!(!applied.code.is_success());
}

#[tokio::test]
async fn server_side_field_validation_cr_duplicates() {
    let api = with_foos(&open()).await;
    let body =
        r#"{"apiVersion":"foo.example.com/v1","kind":"Foo","metadata":{"name":"d"},"spec":{"a":1,"a":2}}"#;
    let refused = api.raw("POST", &format!("{FOOS}?fieldValidation=Strict"), "application/json", body).await;
    assert!(
        refused.text.contains(r#"strict decoding error: duplicate field \"spec.a\""#),
        "{}",
        refused.text
    );
    refused.expect(400);
}

#[tokio::test]
async fn server_side_field_validation_unknown_metadata() {
    let embedded = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": {
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
    }}}}});
    let api = with_foos(&embedded).await;
    let template =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "unknownSubMeta": "x"}});
    let mut body = foo("f", &json!({"spec": {"template": template}}));
    body["metadata"]["unknownMeta"] = "x".into();
    let refused = api.post(&format!("{FOOS}?fieldValidation=Strict"), &body).await;
    let told =
        r#"unknown field \"metadata.unknownMeta\", unknown field \"spec.template.metadata.unknownSubMeta\""#;
    assert!(refused.text.contains(told), "{}", refused.text);
    refused.expect(400);
}

#[tokio::test]
async fn custom_resource_openapi_publish_with_validation_schema() {
    let api = with_foos(&validating()).await;
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"bars": [{"name": "a"}]}})).await;
    created.expect(201);
    applied.expect(201);
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"bars": [{"age": "1"}]}})).await;
    assert_eq!(created.expect(422)["details"]["causes"][0]["field"], "spec.bars[0].name");
    applied.expect(422);
    let found = published(&api, "apis/foo.example.com/v1", "com.example.foo.v1.Foo").await.unwrap();
    assert_eq!(found["description"], "Foo CRD for Testing");
    let bar = &found["properties"]["spec"]["properties"]["bars"]["items"];
    assert_eq!(bar["properties"]["age"]["description"], "Age of Bar.");
    assert!(in_version_2(&api, "com.example.foo.v1.Foo").await);
}

#[tokio::test]
async fn custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_in_object() {
    let api = with_foos(&json!({"type": "object", "properties": {"spec": open()}})).await;
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"any": {"thing": 1}}})).await;
    assert_eq!(created.expect(201)["spec"]["any"]["thing"], 1);
    applied.expect(201);
    let found = published(&api, "apis/foo.example.com/v1", "com.example.foo.v1.Foo").await.unwrap();
    assert_eq!(found["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"], true);
}

#[tokio::test]
async fn custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_at_root() {
    let api = with_foos(&open()).await;
    let [created, applied] = create_and_apply(&api, &json!({"a": {"b": 1}})).await;
    assert_eq!(created.expect(201)["a"]["b"], 1);
    applied.expect(201);
    let found = published(&api, "apis/foo.example.com/v1", "com.example.foo.v1.Foo").await.unwrap();
    assert_eq!(found["x-kubernetes-group-version-kind"][0]["kind"], "Foo");
}

#[tokio::test]
async fn custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_in_embedded_object() {
    let spec = json!({"type": "object", "description": "Specification", "properties": {"dummy": {"type": "string"}},
        "x-kubernetes-preserve-unknown-fields": true});
    let api = with_foos(&json!({"type": "object", "properties": {"spec": spec}})).await;
    let [created, applied] = create_and_apply(&api, &json!({"spec": {"dummy": "d", "b": [{"c": 1}]}})).await;
    assert_eq!(created.expect(201)["spec"]["b"][0]["c"], 1);
    applied.expect(201);
    let found = published(&api, "apis/foo.example.com/v1", "com.example.foo.v1.Foo").await.unwrap();
    assert_eq!(found["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"], true);
}

#[tokio::test]
async fn custom_resource_openapi_publish_varying_groups() {
    let api = Api::start().await;
    for group in ["one.example.com", "two.example.com"] {
        api.define(&definition(group, "Foo", &[("v1", &validating())])).await;
    }
    for word in ["one", "two"] {
        let (name, of) = (format!("apis/{word}.example.com/v1"), format!("com.example.{word}.v1.Foo"));
        assert!(published(&api, &name, &of).await.is_some() && in_version_2(&api, &of).await, "{word}");
    }
}

#[tokio::test]
async fn custom_resource_openapi_publish_varying_versions() {
    let api = Api::start().await;
    let versions = [("v2", &validating()), ("v3", &open())];
    api.define(&definition("foo.example.com", "Foo", &versions)).await;
    for version in ["v2", "v3"] {
        let (name, of) =
            (format!("apis/foo.example.com/{version}"), format!("com.example.foo.{version}.Foo"));
        assert!(published(&api, &name, &of).await.is_some() && in_version_2(&api, &of).await, "{version}");
    }
}

#[tokio::test]
async fn custom_resource_openapi_publish_varying_kinds() {
    let api = Api::start().await;
    for kind in ["Foo", "Bar"] {
        api.define(&definition("foo.example.com", kind, &[("v1", &validating())])).await;
    }
    for kind in ["Foo", "Bar"] {
        let of = format!("com.example.foo.v1.{kind}");
        assert!(published(&api, "apis/foo.example.com/v1", &of).await.is_some(), "{kind}");
        assert!(in_version_2(&api, &of).await, "{kind}");
    }
}

#[tokio::test]
async fn custom_resource_openapi_publish_version_rename() {
    let api = Api::start().await;
    let versions = [("v2", &validating()), ("v3", &validating())];
    let defined = api.define(&definition("foo.example.com", "Foo", &versions)).await;
    let path = format!("{DEFINITIONS}/{}", defined["metadata"]["name"].as_str().unwrap());
    let rename = json!([{"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}]);
    api.patch(&path, "json-patch", &rename).await.expect(200);
    for (version, there) in [("v2", true), ("v3", false), ("v4", true)] {
        let (name, of) =
            (format!("apis/foo.example.com/{version}"), format!("com.example.foo.{version}.Foo"));
        assert_eq!(published(&api, &name, &of).await.is_some(), there, "{version}");
        assert_eq!(in_version_2(&api, &of).await, there, "{version}");
    }
}

#[tokio::test]
async fn custom_resource_openapi_publish_stop_serving_version() {
    let api = Api::start().await;
    let versions = [("v5", &validating()), ("v6", &validating())];
    let defined = api.define(&definition("foo.example.com", "Foo", &versions)).await;
    assert!(published(&api, "apis/foo.example.com/v6", "com.example.foo.v6.Foo").await.is_some());
    let path = format!("{DEFINITIONS}/{}", defined["metadata"]["name"].as_str().unwrap());
    let stop = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    api.patch(&path, "json-patch", &stop).await.expect(200);
    assert!(published(&api, "apis/foo.example.com/v6", "com.example.foo.v6.Foo").await.is_none());
    assert!(!in_version_2(&api, "com.example.foo.v6.Foo").await);
    assert!(in_version_2(&api, "com.example.foo.v5.Foo").await);
}
