//! Discovery: what the server serves, in the older form (one document per group version) and the newer one (all in
//! one). The documents are made from the kinds table and the definitions, when either is new.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use wherry_api::kinds::{KINDS, Kind, Subresource};

use crate::custom::{Definition, Definitions};
use crate::kinds::stored_kind;
use crate::request::negotiate::{Accept, Shape};
use crate::respond;

/// The documents of discovery.
pub(crate) struct Documents {
    core: Document,
    core_versions: Bytes,
    /// Those that change with what definitions add.
    named: Mutex<Arc<Named>>,
}

/// The documents that tell of the named groups.
struct Named {
    /// What definitions add to them.
    of: Arc<Definitions>,
    groups: Document,
    group_list: Bytes,
}

impl Named {
    fn build(of: Arc<Definitions>) -> Self {
        let names: Vec<_> = group_names(&of).collect();
        let groups: Vec<_> = names.iter().map(|group| group_json(&of, group)).collect();
        let group_list = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
        Self { groups: Document::new(aggregated(&of, &names)), group_list: to_bytes(&group_list), of }
    }
}

/// A resource that is served, with the definition that adds it.
#[derive(Clone, Copy)]
struct Listed<'d> {
    kind: &'static Kind,
    definition: Option<&'d Definition>,
}

/// All that is served.
fn listed(custom: &Definitions) -> impl Iterator<Item = Listed<'_>> {
    let built_in = KINDS.iter().chain(custom.switched_on()).map(|kind| Listed { kind, definition: None });
    let added = custom.all().flat_map(|definition| {
        let versions = definition.versions.iter();
        versions.map(|version| Listed { kind: version.kind, definition: Some(&**definition) })
    });
    built_in.chain(added)
}

impl Listed<'_> {
    /// What can be done with it.
    fn verbs(&self) -> &'static [&'static str] {
        match self.definition {
            None => self.kind.verbs,
            Some(definition) if definition.is_terminating() => {
                &["delete", "deletecollection", "get", "list", "watch"]
            }
            Some(_) => &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        }
    }

    /// The kind of its objects, as the newer form tells it: that of definitions is told in full.
    fn response_kind(&self, (group, version, kind): (&str, &str, &str)) -> serde_json::Value {
        let own = self.definition.filter(|_| group.is_empty()).map(|_| (self.kind.group, self.kind.version));
        let (group, version) = own.unwrap_or((group, version));
        json!({"group": group, "version": version, "kind": kind})
    }

    /// The form its objects are stored in.
    fn storage(&self) -> Option<&'static Kind> {
        match self.definition {
            None => self.kind.stored().then(|| stored_kind(self.kind)),
            Some(definition) => {
                let storage = definition.storage.kind;
                definition
                    .versions
                    .iter()
                    .any(|version| std::ptr::eq(version.kind, storage))
                    .then_some(storage)
            }
        }
    }
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
            "kind": "APIVersions", "versions": versions(&Definitions::default(), "").collect::<Vec<_>>(), "serverAddressByClientCIDRs": addresses,
        });
        let nothing = Arc::<Definitions>::default();
        Self {
            core: Document::new(aggregated(&nothing, &[""])),
            core_versions: to_bytes(&core_versions),
            named: Mutex::new(Arc::new(Named::build(nothing))),
        }
    }

    /// Answers `/api`.
    pub(crate) fn core_versions(&self, headers: &HeaderMap, accept: Accept) -> Response {
        match accept.shape {
            Shape::Discovery => self.core.respond(headers),
            _ => respond::json(StatusCode::OK, self.core_versions.clone(), accept.yaml),
        }
    }

    /// Answers `/apis`, with what definitions add.
    pub(crate) fn groups(&self, custom: Arc<Definitions>, headers: &HeaderMap, accept: Accept) -> Response {
        let named = {
            let mut named = self.named.lock();
            if !(Arc::ptr_eq(&named.of, &custom) || named.of.is_empty() && custom.is_empty()) {
                *named = Arc::new(Named::build(custom));
            }
            Arc::clone(&named)
        };
        match accept.shape {
            Shape::Discovery => named.groups.respond(headers),
            _ => respond::json(StatusCode::OK, named.group_list.clone(), accept.yaml),
        }
    }
}

/// The named groups, each once, in the order of the kinds table; those that definitions add follow.
fn group_names(custom: &Definitions) -> impl Iterator<Item = &'static str> {
    let named = listed(custom).map(|listed| listed.kind.group).filter(|group| !group.is_empty());
    let mut names: Vec<&'static str> = Vec::new();
    for group in named {
        if !names.contains(&group) {
            names.push(group);
        }
    }
    let built_in = names.iter().take_while(|name| KINDS.iter().any(|kind| kind.group == **name)).count();
    names[built_in..].sort_unstable();
    names.into_iter()
}

/// The versions of a group, the one clients should prefer first: stable before beta before alpha, higher before
/// lower.
fn versions(custom: &Definitions, group: &str) -> impl Iterator<Item = &'static str> {
    let of_group = listed(custom).filter(|listed| listed.kind.group == group);
    let mut versions: Vec<_> = of_group.map(|listed| listed.kind.version).collect();
    versions.sort_unstable_by_key(|version| std::cmp::Reverse(rank(version)));
    versions.dedup();
    versions.into_iter()
}

/// How stable a version is, and its numbers: `v2` above `v1`, `v1` above `v2beta1`.
pub(crate) fn rank(version: &str) -> (u8, u32, u32) {
    let numbers = version.strip_prefix('v').unwrap_or(version);
    let (major, stability, minor) = match (numbers.split_once("beta"), numbers.split_once("alpha")) {
        (Some((major, minor)), _) => (major, 1, minor),
        (_, Some((major, minor))) => (major, 0, minor),
        _ => (numbers, 2, ""),
    };
    (stability, major.parse().unwrap_or_default(), minor.parse().unwrap_or_default())
}

fn group_json(custom: &Definitions, group: &str) -> serde_json::Value {
    let versions: Vec<_> = versions(custom, group)
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

/// Answers `/apis/G`.
pub(crate) fn group(custom: &Definitions, group: &str, accept: Accept) -> Response {
    let mut value = group_json(custom, group);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    respond::json(StatusCode::OK, to_bytes(&value), accept.yaml)
}

/// Answers `/api/v1` and `/apis/G/V`.
pub(crate) fn resources(custom: &Definitions, group: &str, version: &str, accept: Accept) -> Response {
    let mut resources: Vec<serde_json::Value> = Vec::new();
    if group.is_empty() {
        resources.push(json!({
            "name": "bindings", "singularName": "binding", "namespaced": true, "kind": "Binding", "verbs": ["create"],
        }));
    }
    for listed in of_version(custom, group, version) {
        resources.push(resource(listed));
        resources.extend(listed.kind.subresources.iter().map(|sub| subresource(listed.kind, sub)));
    }
    resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    respond::json(StatusCode::OK, to_bytes(&list), accept.yaml)
}

fn of_version<'d>(custom: &'d Definitions, group: &str, version: &str) -> impl Iterator<Item = Listed<'d>> {
    listed(custom).filter(move |listed| listed.kind.group == group && listed.kind.version == version)
}

fn resource(listed: Listed<'_>) -> serde_json::Value {
    let kind = listed.kind;
    let mut value = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": listed.verbs(),
    });
    if let Some(storage) = listed.storage() {
        value["storageVersionHash"] = storage_hash(storage).into();
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
fn aggregated(custom: &Definitions, groups: &[&str]) -> Bytes {
    let items: Vec<_> = groups
        .iter()
        .map(|group| {
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            let versions: Vec<_> =
                versions(custom, group).map(|version| aggregated_version(custom, group, version)).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    to_bytes(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    }))
}

fn aggregated_version(custom: &Definitions, group: &str, version: &str) -> serde_json::Value {
    let mut resources: Vec<_> = of_version(custom, group, version).map(aggregated_resource).collect();
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

fn aggregated_resource(listed: Listed<'_>) -> serde_json::Value {
    let kind = listed.kind;
    let mut value = json!({
        "resource": kind.plural,
        "responseKind": listed.response_kind(("", "", kind.kind)),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": listed.verbs(),
    });
    names(&mut value, kind);
    if !kind.subresources.is_empty() {
        let subresources: Vec<_> = kind
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": listed.response_kind((sub.group, sub.version, sub.kind)),
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
        let groups: Vec<_> = group_names(&Definitions::default()).collect();
        assert_eq!(groups.iter().filter(|g| **g == "apps").count(), 1);
        assert!(!groups.contains(&""));
    }
}
