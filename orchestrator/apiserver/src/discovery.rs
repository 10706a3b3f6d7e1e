//! Discovery: what the server serves, in the older form (one document per group version) and the newer one (all in
//! one). The documents are made once, from the kinds table.

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use wherry_api::kinds::{KINDS, Kind, Subresource};

use crate::kinds::stored_kind;
use crate::request::negotiate::{Accept, Shape};
use crate::respond;

/// The documents of discovery.
pub(crate) struct Documents {
    core: Document,
    groups: Document,
    core_versions: Bytes,
    group_list: Bytes,
}

/// A document with its tag.
struct Document {
    bytes: Bytes,
    tag: HeaderValue,
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Document {
    fn new(bytes: Bytes) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes));
        let tag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("base64 is a header value");
        Self { bytes, tag }
    }

    fn respond(&self, headers: &HeaderMap) -> Response {
        let known = headers.get(IF_NONE_MATCH) == Some(&self.tag);
        let mut response = Response::new(if known { Body::empty() } else { Body::from(self.bytes.clone()) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
        headers.insert(ETAG, self.tag.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        response
    }
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("discovery has only string keys").into()
}

impl Documents {
    /// Makes the documents.
    pub(crate) fn build() -> Self {
        let core_versions =
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []});
        let groups: Vec<_> = group_names().map(group_json).collect();
        let group_list = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
        Self {
            core: Document::new(aggregated(&[""])),
            groups: Document::new(aggregated(&group_names().collect::<Vec<_>>())),
            core_versions: to_bytes(&core_versions),
            group_list: to_bytes(&group_list),
        }
    }

    /// Answers `/api`.
    pub(crate) fn core_versions(&self, headers: &HeaderMap, accept: Accept) -> Response {
        match accept.shape {
            Shape::Discovery => self.core.respond(headers),
            _ => respond::json(StatusCode::OK, self.core_versions.clone(), accept.yaml),
        }
    }

    /// Answers `/apis`.
    pub(crate) fn groups(&self, headers: &HeaderMap, accept: Accept) -> Response {
        match accept.shape {
            Shape::Discovery => self.groups.respond(headers),
            _ => respond::json(StatusCode::OK, self.group_list.clone(), accept.yaml),
        }
    }
}

/// The named groups, each once, in the order of the kinds table.
fn group_names() -> impl Iterator<Item = &'static str> {
    let named = KINDS.iter().filter(|k| !k.group.is_empty());
    let mut seen = Vec::new();
    named.map(|k| k.group).filter(move |group| {
        let new = !seen.contains(group);
        seen.push(*group);
        new
    })
}

fn group_json(group: &str) -> serde_json::Value {
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// Answers `/apis/G`.
pub(crate) fn group(group: &str, accept: Accept) -> Response {
    let mut value = group_json(group);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    respond::json(StatusCode::OK, to_bytes(&value), accept.yaml)
}

/// Answers `/api/v1` and `/apis/G/V`.
pub(crate) fn resources(group: &str, version: &str, accept: Accept) -> Response {
    let kinds = KINDS.iter().filter(|k| k.group == group && k.version == version);
    let mut resources: Vec<serde_json::Value> = Vec::new();
    if group.is_empty() {
        resources.push(json!({
            "name": "bindings", "singularName": "binding", "namespaced": true, "kind": "Binding", "verbs": ["create"],
        }));
    }
    for kind in kinds {
        resources.push(resource(kind));
        resources.extend(kind.subresources.iter().map(|sub| subresource(kind, sub)));
    }
    resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    respond::json(StatusCode::OK, to_bytes(&list), accept.yaml)
}

fn resource(kind: &'static Kind) -> serde_json::Value {
    let mut value = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
        "storageVersionHash": storage_hash(stored_kind(kind)),
    });
    names(&mut value, kind);
    value
}

fn names(value: &mut serde_json::Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        value["shortNames"] = kind.short_names.into();
    }
    if !kind.categories.is_empty() {
        value["categories"] = kind.categories.into();
    }
}

fn subresource(kind: &Kind, sub: &Subresource) -> serde_json::Value {
    let mut value = json!({
        "name": format!("{}/{}", kind.plural, sub.name),
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if !sub.group.is_empty() {
        value["group"] = sub.group.into();
        value["version"] = sub.version.into();
    }
    value
}

/// Tells clients whether two resources are stored as one.
fn storage_hash(kind: &Kind) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", kind.group, kind.version, kind.kind).as_bytes());
    STANDARD.encode(&digest[..8])
}

/// The document of these groups in the newer form.
fn aggregated(groups: &[&str]) -> Bytes {
    let items: Vec<_> = groups
        .iter()
        .map(|group| {
            let mut resources: Vec<_> =
                KINDS.iter().filter(|k| k.group == *group).map(aggregated_resource).collect();
            if group.is_empty() {
                resources.push(json!({
                    "resource": "bindings",
                    "responseKind": {"group": "", "version": "", "kind": "Binding"},
                    "scope": "Namespaced",
                    "singularResource": "binding",
                    "verbs": ["create"],
                }));
            }
            resources.sort_by(|a, b| a["resource"].as_str().cmp(&b["resource"].as_str()));
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            let version = json!({"version": "v1", "resources": resources, "freshness": "Current"});
            json!({"metadata": metadata, "versions": [version]})
        })
        .collect();
    to_bytes(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    }))
}

fn aggregated_resource(kind: &Kind) -> serde_json::Value {
    let mut value = json!({
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    names(&mut value, kind);
    if !kind.subresources.is_empty() {
        let subresources: Vec<_> = kind
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                    "verbs": sub.verbs,
                })
            })
            .collect();
        value["subresources"] = subresources.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_api::kinds::by_kind;

    #[test]
    fn the_storage_hash_is_the_one_other_servers_tell() {
        let lease = by_kind("coordination.k8s.io", "v1", "Lease").unwrap();
        assert_eq!(storage_hash(lease), "gqkMMb/YqFM=");
        let event = by_kind("events.k8s.io", "v1", "Event").unwrap();
        assert_eq!(storage_hash(stored_kind(event)), "r2yiGXH7wu8=");
    }

    #[test]
    fn every_group_is_told_once() {
        let groups: Vec<_> = group_names().collect();
        assert_eq!(groups.iter().filter(|g| **g == "apps").count(), 1);
        assert!(!groups.contains(&""));
    }
}
