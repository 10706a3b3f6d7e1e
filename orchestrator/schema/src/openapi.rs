//! OpenAPI v3: what `kubectl explain` prints and what it validates against.
//!
//! The documents are made by the build script and stay compressed; a server hands out the compressed bytes to clients
//! that take gzip. Those of custom kinds are made by [`custom`]; [`mod@merge`] adds those of other servers.

pub mod custom;
pub mod merge;
pub mod protobuf;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;

use flate2::read::GzDecoder;

use crate::value::{Object, Value};

/// Descriptions by field.
static COLUMNS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/columns.rs"));

static DOCUMENTS: &[Document] = include!(concat!(env!("OUT_DIR"), "/openapi.rs"));
static SWAGGER: &Document = &include!(concat!(env!("OUT_DIR"), "/swagger.rs"));

static OPTIONAL: &[Optional] = include!(concat!(env!("OUT_DIR"), "/optional.rs"));

/// The documents of a group and version that can be switched on.
#[derive(Debug)]
pub struct Optional {
    /// In version 3.
    pub document: Document,
    /// In version 2, of this group and version alone.
    pub swagger: Document,
}

/// The document of one group and version.
#[derive(Debug)]
pub struct Document {
    /// `api/v1` or `apis/apps/v1`.
    pub name: &'static str,
    /// Changes when the document does.
    pub hash: &'static str,
    /// The JSON text, gzipped.
    pub gzip: &'static [u8],
}

impl Document {
    /// Where a server has it: with its hash, so that it may be kept for ever.
    pub fn url(&self) -> String {
        url(self.name, self.hash)
    }

    /// The JSON text.
    ///
    /// # Panics
    /// If the executable is corrupt.
    pub fn json(&self) -> Vec<u8> {
        unpack(self.gzip)
    }
}

/// The text of a document that was gzipped here.
///
/// # Panics
/// If it was not.
pub fn unpack(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).expect("it was gzipped here");
    bytes
}

/// The document of `api/v1`, `apis/apps/v1`, ...
pub fn document(name: &str) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.name == name)
}

/// The documents of a group and version that can be switched on.
pub fn optional(name: &str) -> Option<&'static Optional> {
    OPTIONAL.iter().find(|optional| optional.document.name == name)
}

/// The description of a field that `facts/columns.tsv` names: `column("core.v1.ConfigMap.data")`.
pub fn column(field: &str) -> Option<&'static str> {
    COLUMNS.iter().find(|(name, _)| *name == field).map(|(_, description)| *description)
}

/// Everything in one document of version 2.
pub fn swagger() -> &'static Document {
    SWAGGER
}

/// Changes when any of the documents does; `more` are the names and hashes, or places, of others.
pub fn index_hash<'n>(more: impl Iterator<Item = (&'n str, &'n str)>) -> String {
    let mut hasher = DefaultHasher::new();
    for (name, hash) in DOCUMENTS.iter().map(|document| (document.name, document.hash)).chain(more) {
        (name, hash).hash(&mut hasher);
    }
    format!("{:016X}", hasher.finish())
}

/// Where a server has a document: with its hash, so that it may be kept for ever.
pub fn url(name: &str, hash: &str) -> String {
    format!("/openapi/v3/{name}?hash={hash}")
}

/// What `/openapi/v3` answers: where the documents are; `more` are the names and hashes of others, `elsewhere` the names
/// and places of those that other servers have. What is had here is not had elsewhere.
pub fn index<'n>(
    more: impl Iterator<Item = (&'n str, &'n str)>,
    elsewhere: impl Iterator<Item = (&'n str, &'n str)>,
) -> Vec<u8> {
    let own = DOCUMENTS.iter().map(|document| (document.name, document.hash)).chain(more);
    let own = own.map(|(name, hash)| (name, url(name, hash)));
    let mut paths = Object::new();
    for (name, url) in elsewhere.map(|(name, url)| (name, url.to_owned())).chain(own) {
        let mut entry = Object::new();
        entry.insert("serverRelativeURL", url);
        paths.insert(name, entry);
    }
    let mut index = Object::new();
    index.insert("paths", paths);
    Value::from(index).to_json_bytes()
}

#[cfg(test)]
mod tests {
    use super::{DOCUMENTS, OPTIONAL, document, index, optional};
    use crate::value::{Object, Value};

    fn parsed(name: &str) -> Value {
        serde_json::from_slice(&document(name).unwrap().json()).unwrap()
    }

    /// Every `$ref` in a value.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        found.extend(value.get("$ref").and_then(Value::as_str));
        value.as_array().into_iter().flatten().for_each(|item| references(item, found));
        value.as_object().into_iter().flat_map(Object::values).for_each(|field| references(field, found));
    }

    #[test]
    fn every_group_and_version_has_a_document_that_is_whole() {
        for kind in wherry_api::kinds::KINDS {
            let root = if kind.group.is_empty() { "api" } else { "apis" };
            assert!(document(&format!("{root}/{}", kind.api_version())).is_some(), "{}", kind.kind);
        }
        for kind in wherry_api::kinds::OPTIONAL {
            assert!(optional(&format!("apis/{}", kind.api_version())).is_some(), "{}", kind.kind);
        }
        for document in DOCUMENTS.iter().chain(OPTIONAL.iter().map(|optional| &optional.document)) {
            let parsed: Value = serde_json::from_slice(&document.json()).unwrap();
            let mut found = Vec::new();
            references(&parsed, &mut found);
            assert_eq!(found.is_empty(), parsed.pointer("/components/schemas").is_none());
            for target in found {
                assert!(parsed.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
            }
        }
    }

    #[test]
    fn the_index_names_each_document_with_its_hash() {
        let index = Value::from_json(&index(std::iter::empty(), std::iter::empty())).unwrap();
        let apps = index.pointer("/paths/apis~1apps~1v1/serverRelativeURL").unwrap().as_str().unwrap();
        assert_eq!(apps, format!("/openapi/v3/apis/apps/v1?hash={}", document("apis/apps/v1").unwrap().hash));
    }

    #[test]
    fn patch_operations_take_field_validation() {
        let path = "/paths/~1api~1v1~1namespaces~1{namespace}~1pods~1{name}/patch";
        let parsed = parsed("api/v1");
        let patch = parsed.pointer(path).unwrap();
        let parameters = patch.get("parameters").unwrap().as_array().unwrap();
        assert!(parameters.iter().any(|p| p.str_at(&["name"]) == Some("fieldValidation")));
        assert_eq!(patch.str_at(&["x-kubernetes-action"]), Some("patch"));
        assert_eq!(patch.str_at(&["x-kubernetes-group-version-kind", "kind"]), Some("Pod"));
        assert_eq!(patch.str_at(&["operationId"]), Some("patchCoreV1NamespacedPod"));
    }

    #[test]
    fn schemas_carry_descriptions_kinds_and_merge_metadata() {
        let parsed = parsed("apis/apps/v1");
        let schemas = parsed.pointer("/components/schemas").unwrap();
        let deployment = schemas.get("io.k8s.api.apps.v1.Deployment").unwrap();
        let gvk = deployment.pointer("/x-kubernetes-group-version-kind/0").unwrap();
        assert_eq!((gvk.str_at(&["group"]), gvk.str_at(&["kind"])), (Some("apps"), Some("Deployment")));
        assert!(deployment.str_at(&["description"]).unwrap().starts_with("Deployment enables"));
        let spec = deployment.pointer("/properties/spec").unwrap();
        let target = "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec";
        assert_eq!(spec.pointer("/allOf/0/$ref").unwrap().as_str(), Some(target));
        let ports =
            schemas.get("io.k8s.api.core.v1.Container").unwrap().pointer("/properties/ports").unwrap();
        assert_eq!(ports.str_at(&["x-kubernetes-patch-merge-key"]), Some("containerPort"));
        assert_eq!(ports.str_at(&["x-kubernetes-list-type"]), Some("map"));
        assert_eq!(ports.pointer("/x-kubernetes-list-map-keys/1").unwrap().as_str(), Some("protocol"));
        let selector = schemas.get("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").unwrap();
        assert_eq!(selector.str_at(&["x-kubernetes-map-type"]), Some("atomic"));
    }

    #[test]
    fn scale_is_of_its_own_group() {
        let path = "/paths/~1apis~1apps~1v1~1namespaces~1{namespace}~1deployments~1{name}~1scale/get";
        let parsed = parsed("apis/apps/v1");
        let scale = parsed.pointer(path).unwrap();
        assert_eq!(scale.str_at(&["x-kubernetes-group-version-kind", "group"]), Some("autoscaling"));
        assert_eq!(scale.str_at(&["operationId"]), Some("readAppsV1NamespacedDeploymentScale"));
    }
}
