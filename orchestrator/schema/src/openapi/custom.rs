//! What clients are told of custom kinds: documents made when they are asked for, from what definitions say.
//!
//! [`Published`] is a version of a kind, kept small. [`hash`] changes with what a document says, without making it;
//! [`document`] is that of one group and version, [`swagger`] the one document of the older form, with everything that
//! is built in. Whoever serves them keeps what was made for as long as the hash stays.

#[path = "../../build/operations.rs"]
mod operations;
#[path = "../../build/parameters.rs"]
mod parameters;
#[expect(dead_code, reason = "custom kinds have fewer kinds of paths than built-in ones")]
#[path = "../../build/paths.rs"]
mod paths;
#[expect(dead_code, reason = "the document of what is built in is made already")]
#[path = "../../build/swagger.rs"]
mod swagger;
#[path = "../../build/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use wherry_api::kinds::Kind;

use operations::reference_to;
use words::TYPE_META;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const OBJECT_META: &str = "Standard object's metadata. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_META: &str = "Standard list metadata. More info: \
                         https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// A version of a custom kind, as clients are told of it.
#[derive(Debug)]
pub struct Published {
    kind: &'static Kind,
    list_kind: String,
    /// Its schema as JSON, compressed.
    schema: Vec<u8>,
}

impl Published {
    /// The version of this row, whose lists are of `list_kind`, with the schema of its definition.
    pub fn new(kind: &'static Kind, list_kind: &str, schema: &crate::Value) -> Self {
        Self { kind, list_kind: list_kind.to_owned(), schema: pack(&schema.to_json_bytes()) }
    }

    /// The name of the document it is in: `apis/example.com/v1`.
    pub fn document(&self) -> String {
        format!("apis/{}/{}", self.kind.group, self.kind.version)
    }

    /// The full name of its schema: the group's words in reverse, the version, the kind.
    fn name(&self, kind: &str) -> String {
        let words: Vec<&str> = self.kind.group.rsplit('.').collect();
        format!("{}.{}.{kind}", words.join("."), self.kind.version)
    }

    fn schema(&self) -> Value {
        serde_json::from_slice(&super::unpack(&self.schema)).unwrap_or_default()
    }

    fn gvk(&self, kind: &str) -> Value {
        json!([{"group": self.kind.group, "version": self.kind.version, "kind": kind}])
    }

    fn paths(&self, paths: &mut Map<String, Value>) {
        let schemas = |group: &str, version: &str, kind: &str| {
            Some(match (group, version, kind) {
                ("autoscaling", "v1", "Scale") => SCALE.to_owned(),
                _ => self.name(kind),
            })
        };
        paths::add(&format!("/{}", self.document()), self.kind, (&schemas, false), paths);
    }

    /// The schemas of its objects and of lists of them. Operations name the latter after the kind.
    fn components(&self, form: Form) -> [(String, Value); 2] {
        let name = self.name(self.kind.kind);
        let mut object = match form {
            Form::V3 => self.schema(),
            Form::V2 => older(self.schema()),
        };
        if !object.is_object() {
            object = json!({"type": "object"});
        }
        add_embedded(&mut object);
        // Of what keeps unknown fields, the older form says nothing but that.
        if !(form == Form::V2 && object["x-kubernetes-preserve-unknown-fields"] == true) {
            of_every_object(&mut object);
        }
        object["x-kubernetes-group-version-kind"] = self.gvk(self.kind.kind);
        [(format!("{name}List"), self.list(&name)), (name, object)]
    }

    fn list(&self, item: &str) -> Value {
        let Self { kind, list_kind, .. } = self;
        let items = format!(
            "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
            kind.plural
        );
        let mut list = json!({
            "description": format!("{list_kind} is a list of {}", kind.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "description": items, "items": reference_to(item)},
                "metadata": {
                    "description": LIST_META,
                    "allOf": [reference_to(&format!("{META}.ListMeta"))],
                },
            },
            "x-kubernetes-group-version-kind": self.gvk(list_kind),
        });
        add_type_meta(&mut list);
        list
    }
}

/// The forms of documents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    V2,
    V3,
}

fn add_type_meta(object: &mut Value) {
    for (name, description) in TYPE_META {
        put_property(object, name, json!({"type": "string", "description": description}));
    }
}

fn put_property(object: &mut Value, name: &str, schema: Value) {
    let properties = &mut object["properties"];
    if !properties.is_object() {
        *properties = json!({});
    }
    properties[name] = schema;
}

fn of_every_object(object: &mut Value) {
    add_type_meta(object);
    let metadata = reference_to(&format!("{META}.ObjectMeta"));
    put_property(object, "metadata", json!({"description": OBJECT_META, "allOf": [metadata]}));
}

/// Says of objects within what every object has.
fn add_embedded(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(name) {
            add_embedded(inner);
        }
    }
    for inner in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        add_embedded(inner.1);
    }
    if schema["x-kubernetes-embedded-resource"] == true {
        of_every_object(schema);
    }
}

/// A schema without what the older form cannot say: alternatives, null, and fields beside unknown ones.
fn older(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else { return schema };
    for name in ["allOf", "anyOf", "oneOf", "not"] {
        fields.remove(name);
    }
    let nullable = fields.remove("nullable").is_some_and(|nullable| nullable == true);
    let keeps_unknown = fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|keeps| keeps == true);
    if nullable || keeps_unknown {
        for name in ["items", "properties", "additionalProperties"] {
            fields.remove(name);
        }
    }
    if nullable {
        fields.remove("type");
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let may_be_null: BTreeSet<String> = properties
        .into_iter()
        .flatten()
        .filter(|(_, field)| field["nullable"] == true)
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !name.as_str().is_some_and(|name| may_be_null.contains(name)));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(name) {
            *inner = older(inner.take());
        }
    }
    for (_, inner) in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        *inner = older(inner.take());
    }
    schema
}

/// The built-in schemas that documents of custom kinds refer to, directly or through others.
static SHARED: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let apps = super::document("apis/apps/v1").map(super::Document::json).unwrap_or_default();
    let apps: Value = serde_json::from_slice(&apps).unwrap_or_default();
    let all = apps["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let mut names = BTreeSet::new();
    for name in ["DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status"] {
        reach(&reference_to(&format!("{META}.{name}")), &all, &mut names);
    }
    reach(&reference_to(SCALE), &all, &mut names);
    names.into_iter().filter_map(|name| all.get(&name).map(|schema| (name.clone(), schema.clone()))).collect()
});

/// Adds the names of the schemas that a value refers to.
fn reach(value: &Value, all: &Map<String, Value>, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| reach(item, all, names)),
        Value::Object(fields) => {
            let target =
                fields.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
            if let Some(name) = target.filter(|name| !names.contains(*name)) {
                names.insert(name.to_owned());
                if let Some(schema) = all.get(name) {
                    reach(schema, all, names);
                }
            }
            fields.values().for_each(|field| reach(field, all, names));
        }
        _ => {}
    }
}

/// Changes when what is told of these does.
pub fn hash(published: &[&Published]) -> String {
    let mut hasher = DefaultHasher::new();
    for Published { kind, list_kind, schema } in published {
        (kind.group, kind.version, kind.kind, kind.plural, kind.namespaced).hash(&mut hasher);
        kind.subresources.iter().for_each(|part| part.name.hash(&mut hasher));
        (list_kind, schema).hash(&mut hasher);
    }
    format!("{:016X}", hasher.finish())
}

/// A document, gzipped.
///
/// # Panics
/// Never: memory takes everything.
pub fn pack(json: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(json).and_then(|()| encoder.finish());
    written.expect("memory takes everything")
}

/// The document, as JSON, of one group and version: of all that is published in it.
pub fn document(published: &[&Published]) -> Vec<u8> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for one in published {
        one.paths(&mut paths);
        schemas.extend(one.components(Form::V3));
    }
    let mut used = BTreeSet::new();
    paths.values().chain(schemas.values()).for_each(|value| reach(value, &SHARED, &mut used));
    let shared = used.into_iter().filter_map(|name| SHARED.get(&name).map(|schema| (name, schema.clone())));
    schemas.extend(shared);
    if let (Some(first), Some(options)) =
        (published.first(), schemas.get_mut(&format!("{META}.DeleteOptions")))
    {
        let mut kinds = vec![json!({"group": "", "version": "v1", "kind": "DeleteOptions"})];
        kinds.extend(first.gvk("DeleteOptions").as_array().cloned().unwrap_or_default());
        options["x-kubernetes-group-version-kind"] = kinds.into();
    }
    let token = json!({
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    });
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": token}},
        "security": [{"BearerToken": []}],
    });
    document.to_string().into_bytes()
}

/// The document of version 2, as JSON: of all that is built in and of these.
pub fn swagger(published: &[&Published]) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&super::swagger().json()).unwrap_or_default();
    let mut paths = Map::new();
    for one in published {
        one.paths(&mut paths);
        for (name, schema) in one.components(Form::V2) {
            document["definitions"][name] = swagger::definition(&schema);
        }
    }
    for (path, item) in swagger::paths(&paths) {
        document["paths"][path] = item;
    }
    document.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wherry_api::kinds::{Kind, Subresource};

    use super::{Form, Published, document, hash, swagger};
    use crate::Value;
    use crate::value::tests::any_value;

    static BOX: Kind = Kind {
        group: "example.com",
        version: "v1",
        kind: "Box",
        plural: "boxes",
        singular: "box",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        subresources: &[
            Subresource {
                name: "scale",
                group: "autoscaling",
                version: "v1",
                kind: "Scale",
                verbs: &["get", "patch", "update"],
            },
            Subresource {
                name: "status",
                group: "",
                version: "",
                kind: "Box",
                verbs: &["get", "patch", "update"],
            },
        ],
        storage: "example.com/boxes",
    };

    const SCHEMA: &str = r#"{"type":"object","description":"A box.","properties":{
        "spec":{"type":"object","required":["a","n"],"properties":{
            "a":{"type":"string","anyOf":[{"minLength":1}]},"n":{"type":"string","nullable":true}}},
        "pod":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}}}"#;

    fn published(schema: &str) -> Published {
        Published::new(&BOX, "BoxList", &Value::from_json(schema.as_bytes()).unwrap())
    }

    fn at<'v>(document: &'v Value, pointer: &str) -> &'v Value {
        document.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"))
    }

    /// Every `$ref` in a value.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        found.extend(value.get("$ref").and_then(Value::as_str));
        value.as_array().into_iter().flatten().for_each(|item| references(item, found));
        value
            .as_object()
            .into_iter()
            .flat_map(crate::Object::values)
            .for_each(|field| references(field, found));
    }

    #[test]
    fn the_document_of_a_version_is_whole() {
        let parsed = Value::from_json(&document(&[&published(SCHEMA)])).unwrap();
        let mut found = Vec::new();
        references(&parsed, &mut found);
        assert!(found.len() > 20);
        for target in found {
            assert!(parsed.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
        }
        let schemas = at(&parsed, "/components/schemas");
        let object = schemas.get("com.example.v1.Box").unwrap();
        assert_eq!(object.str_at(&["description"]), Some("A box."));
        let metadata = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
        assert_eq!(at(object, "/properties/metadata/allOf/0/$ref").as_str(), Some(metadata));
        assert_eq!(at(object, "/properties/pod/properties/metadata/allOf/0/$ref").as_str(), Some(metadata));
        assert_eq!(at(object, "/x-kubernetes-group-version-kind/0/kind").as_str(), Some("Box"));
        let list = schemas.get("com.example.v1.BoxList").unwrap();
        assert_eq!(
            at(list, "/properties/items/items/$ref").as_str(),
            Some("#/components/schemas/com.example.v1.Box")
        );
    }

    #[test]
    fn operations_are_those_of_custom_kinds() {
        let parsed = Value::from_json(&document(&[&published(SCHEMA)])).unwrap();
        let paths: Vec<&str> =
            at(&parsed, "/paths").as_object().unwrap().keys().map(crate::Str::as_str).collect();
        let item = "/apis/example.com/v1/namespaces/{namespace}/boxes";
        let wanted = [
            "/apis/example.com/v1/boxes".to_owned(),
            item.to_owned(),
            format!("{item}/{{name}}"),
            format!("{item}/{{name}}/scale"),
            format!("{item}/{{name}}/status"),
        ];
        assert_eq!(paths, wanted);
        let patch =
            at(&parsed, "/paths/~1apis~1example.com~1v1~1namespaces~1{namespace}~1boxes~1{name}/patch");
        assert_eq!(patch.str_at(&["operationId"]), Some("patchExampleComV1NamespacedBox"));
        assert!(patch.pointer("/requestBody/content/application~1merge-patch+json").is_some());
        assert!(patch.pointer("/requestBody/content/application~1strategic-merge-patch+json").is_none());
    }

    #[test]
    fn the_older_form_says_what_it_can() {
        let parsed = Value::from_json(&swagger(&[&published(SCHEMA)])).unwrap();
        let spec = at(&parsed, "/definitions/com.example.v1.Box/properties/spec");
        assert_eq!(spec.get("required").unwrap().to_string(), r#"["a"]"#);
        assert_eq!(at(spec, "/properties").to_string(), r#"{"a":{"type":"string"},"n":{}}"#);
        assert!(at(&parsed, "/definitions").get("io.k8s.api.core.v1.Pod").is_some());
        assert!(at(&parsed, "/paths").get("/apis/example.com/v1/boxes").is_some());
        let free = published(r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#);
        let parsed = Value::from_json(&swagger(&[&free])).unwrap();
        assert!(at(&parsed, "/definitions/com.example.v1.Box").get("properties").is_none());
    }

    proptest! {
        #[test]
        fn no_schema_panics(schema in any_value()) {
            let published = Published::new(&BOX, "BoxList", &schema);
            prop_assert!(Value::from_json(&document(&[&published])).is_ok());
            let [(_, list), (_, object)] = published.components(Form::V2);
            prop_assert!(list.is_object() && object.is_object());
        }
    }

    #[test]
    fn a_hash_tells_what_changed() {
        let (one, same, other) = (published(SCHEMA), published(SCHEMA), published("{}"));
        assert_eq!(hash(&[&one]), hash(&[&same]));
        assert_ne!(hash(&[&one]), hash(&[&other]));
        assert_ne!(hash(&[&one]), hash(&[&one, &other]));
    }
}
