//! Discovery: what the server serves, in the older form (one document per group version) and the newer one (all in
//! one). The documents are made once, from the kinds table.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
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

/// The tag of a document.
pub(crate) fn tag(bytes: &[u8]) -> HeaderValue {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
    HeaderValue::from_str(&format!("\"{digest}\"")).expect("base64 is a header value")
}

impl Document {
    fn new(bytes: Bytes) -> Self {
        Self { tag: tag(&bytes), bytes }
    }

    fn respond(&self, headers: &HeaderMap) -> Response {
        let known = respond::knows(headers, &self.tag);
        let mut response = Response::new(if known { Body::empty() } else { Body::from(self.bytes.clone()) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
        headers.insert(ETAG, self.tag.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
        response
    }
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("discovery has only string keys").into()
}

impl Documents {
    /// Makes the documents of a server that is reached at this address.
    pub(crate) fn build(address: Option<SocketAddr>) -> Self {
        let addresses: Vec<_> = address
            .iter()
            .map(|address| json!({"clientCIDR": "0.0.0.0/0", "serverAddress": address.to_string()}))
            .collect();
        let core_versions = json!({
            "kind": "APIVersions", "versions": versions("").collect::<Vec<_>>(), "serverAddressByClientCIDRs": addresses,
        });
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

/// The versions of a group, the one clients should prefer first: stable before beta before alpha, higher before
/// lower.
pub(crate) fn versions(group: &str) -> impl Iterator<Item = &'static str> {
    let mut versions: Vec<_> = KINDS.iter().filter(|k| k.group == group).map(|k| k.version).collect();
    versions.sort_unstable_by_key(|version| std::cmp::Reverse(rank(version)));
    versions.dedup();
    versions.into_iter()
}

/// How stable a version is, and its numbers: `v2` above `v1`, `v1` above `v2beta1`.
fn rank(version: &str) -> (u8, u32, u32) {
    let numbers = version.strip_prefix('v').unwrap_or(version);
    let (major, stability, minor) = match (numbers.split_once("beta"), numbers.split_once("alpha")) {
        (Some((major, minor)), _) => (major, 1, minor),
        (_, Some((major, minor))) => (major, 0, minor),
        _ => (numbers, 2, ""),
    };
    (stability, major.parse().unwrap_or_default(), minor.parse().unwrap_or_default())
}

fn group_json(group: &str) -> serde_json::Value {
    let versions: Vec<_> = versions(group)
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
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
    });
    if kind.stored() {
        value["storageVersionHash"] = storage_hash(stored_kind(kind)).into();
    }
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
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            let versions: Vec<_> =
                versions(group).map(|version| aggregated_version(group, version)).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    to_bytes(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    }))
}

fn aggregated_version(group: &str, version: &str) -> serde_json::Value {
    let kinds = KINDS.iter().filter(|k| (k.group, k.version) == (group, version));
    let mut resources: Vec<_> = kinds.map(aggregated_resource).collect();
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
    json!({"version": version, "resources": resources, "freshness": "Current"})
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
    fn clients_are_led_to_the_most_stable_and_newest_version() {
        let mut versions = ["v1beta1", "v2alpha1", "v1", "v10", "v2", "v1beta2"];
        versions.sort_unstable_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v2alpha1"]);
    }

    #[test]
    fn every_group_is_told_once() {
        let groups: Vec<_> = group_names().collect();
        assert_eq!(groups.iter().filter(|g| **g == "apps").count(), 1);
        assert!(!groups.contains(&""));
    }
}
