//! What discovery tells of versions that other servers serve.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use wherry_schema::{SyntaxError, Value};

use super::{Aggregated, Remote, Remotes, Told};
use crate::discovery;
use crate::object::Fields;

/// The document of all groups with their resources, and all that it was made of.
pub(super) struct Merged {
    own: Bytes,
    remotes: Arc<Remotes>,
    told: Arc<Told>,
    tag: HeaderValue,
    bytes: Bytes,
}

impl Remotes {
    /// The groups that others serve, as `APIGroup`s; those that come first are first.
    fn groups(&self) -> Vec<Value> {
        let mut groups: BTreeMap<&str, Vec<&Arc<Remote>>> = BTreeMap::new();
        for remote in self.all() {
            groups.entry(&remote.group).or_default().push(remote);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|versions| Reverse(versions.iter().map(|remote| remote.priorities.0).max()));
        groups.iter_mut().map(|versions| group(versions)).collect()
    }
}

impl Aggregated {
    /// The document of all groups with their resources, and its tag: `own` is this server's part. It is made when a part of it
    /// is new.
    pub(crate) fn merged_with(&self, own: Bytes) -> Result<(HeaderValue, Bytes), SyntaxError> {
        let (remotes, told) = (self.remotes(), Arc::clone(&self.told.lock()));
        let mut merged = self.merged.lock();
        let current = merged.as_ref().filter(|made| {
            Arc::ptr_eq(&made.remotes, &remotes) && Arc::ptr_eq(&made.told, &told) && made.own == own
        });
        if let Some(current) = current {
            return Ok((current.tag.clone(), current.bytes.clone()));
        }
        let mut all = Value::from_json(&own)?;
        add_resources(&mut all, &remotes, &told);
        let bytes = Bytes::from(all.to_json_bytes());
        let tag = discovery::tag(&bytes);
        *merged = Some(Merged { own, remotes, told, tag: tag.clone(), bytes: bytes.clone() });
        Ok((tag, bytes))
    }

    /// The group of this name, as a document of its own.
    pub(crate) fn group(&self, name: &str) -> Option<Value> {
        let found = self.remotes().groups().into_iter().find(|group| group.text("name") == name)?;
        let mut group = Value::object();
        group.put("kind", "APIGroup");
        group.put("apiVersion", "v1");
        for field in ["name", "versions", "preferredVersion"] {
            group.assign(field, found.field(field).cloned());
        }
        Some(group)
    }

    /// Adds the groups that others serve to a list of groups, and their versions to groups that are in it.
    pub(crate) fn add_groups(&self, list: &mut Value) {
        let mut all = list.items("groups").to_vec();
        for group in self.remotes().groups() {
            match all.iter_mut().find(|known| known.text("name") == group.text("name")) {
                Some(known) => add(known, "versions", group.items("versions")),
                None => all.push(group),
            }
        }
        list.put("groups", all);
    }
}

/// Adds what others serve to the document of all groups with their resources.
fn add_resources(list: &mut Value, remotes: &Remotes, told: &Told) {
    let mut all = list.items("items").to_vec();
    for group in remotes.groups() {
        let name = group.text("name");
        let versions: Vec<Value> = group
            .items("versions")
            .iter()
            .filter_map(|listed| remotes.get(name, listed.text("version")))
            .map(|remote| version(remote, told.0.get(&remote.name).map(|told| &**told)))
            .collect();
        if let Some(known) = all.iter_mut().find(|known| known.text("metadata.name") == name) {
            add(known, "versions", &versions);
            continue;
        }
        let mut item = Value::object();
        item.put("metadata.name", name);
        item.put("versions", versions);
        all.push(item);
    }
    list.put("items", all);
}

/// A version with the resources that its server told of. One that does not answer now may serve others.
fn version(remote: &Remote, told: Option<&Value>) -> Value {
    let mut version = Value::object();
    version.put("version", remote.version.as_str());
    if let Some(told) = told {
        version.put("resources", resources(told, remote));
    }
    version.put("freshness", if told.is_some() { "Current" } else { "Stale" });
    version
}

/// Adds versions to those in an object. What is there already is what is served.
fn add(object: &mut Value, field: &str, more: &[Value]) {
    let mut all = object.items(field).to_vec();
    for version in more {
        if all.iter().all(|known| known.text("version") != version.text("version")) {
            all.push(version.clone());
        }
    }
    object.put(field, all);
}

/// The resources of an `APIResourceList` in the newer form, where parts are with what they are parts of.
fn resources(told: &Value, remote: &Remote) -> Vec<Value> {
    let all = told.items("resources");
    let whole = all.iter().filter(|resource| !resource.text("name").contains('/'));
    whole
        .map(|resource| {
            let name = resource.text("name");
            let mut value = Value::object();
            value.put("resource", name);
            value.put("responseKind", kind(resource, remote));
            value.put("scope", if resource.flag("namespaced") { "Namespaced" } else { "Cluster" });
            value.put("singularResource", resource.text("singularName"));
            for field in ["verbs", "shortNames", "categories"] {
                value.assign(field, resource.field(field).cloned());
            }
            let parts = all.iter().filter_map(|part| part_of(part, name, remote));
            let parts: Vec<Value> = parts.collect();
            if !parts.is_empty() {
                value.put("subresources", parts);
            }
            value
        })
        .collect()
}

/// A resource as a part of the one of this name, if it is one.
fn part_of(resource: &Value, whole: &str, remote: &Remote) -> Option<Value> {
    let (of, part) = resource.text("name").split_once('/')?;
    let mut value = Value::object();
    value.put("subresource", part);
    value.put("responseKind", kind(resource, remote));
    value.assign("verbs", resource.field("verbs").cloned());
    (of == whole).then_some(value)
}

/// The kind of a resource, which is of the group and version that are asked for unless it says otherwise.
fn kind(resource: &Value, remote: &Remote) -> Value {
    let or = |field: &str, other: &str| match resource.text(field) {
        "" => other.to_owned(),
        own => own.to_owned(),
    };
    let mut kind = Value::object();
    kind.put("group", or("group", &remote.group));
    kind.put("version", or("version", &remote.version));
    kind.put("kind", resource.text("kind"));
    kind
}

fn group(versions: &mut [&Arc<Remote>]) -> Value {
    versions.sort_by_key(|remote| Reverse(remote.priorities.1));
    let version = |remote: &&Arc<Remote>| {
        let mut version = Value::object();
        version.put("groupVersion", format!("{}/{}", remote.group, remote.version));
        version.put("version", remote.version.as_str());
        version
    };
    let listed: Vec<Value> = versions.iter().map(version).collect();
    let mut group = Value::object();
    group.put("name", versions.first().map_or("", |remote| remote.group.as_str()));
    group.assign("preferredVersion", listed.first().cloned());
    group.put("versions", listed);
    group
}
