//! From the text of a manifest to the Pod that this node runs, as kubelet makes it. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Toleration};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use wherry_api::names::{dns1123_label, dns1123_subdomain};

use super::{FROM_FILE, FROM_URL, HASH, HASH_LENGTH, SEEN, SOURCE, references};

/// Why a manifest names no Pod that can run here.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    /// Neither YAML nor JSON, or not of this shape.
    #[error("it cannot be read as YAML or JSON of one Pod")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else than a Pod.
    #[error("it is {0} and not a Pod of apiVersion v1")]
    Kind(String),
    /// A field is missing or cannot be that.
    #[error("{field}: {reason}")]
    Field {
        /// Where.
        field: String,
        /// Why.
        reason: String,
    },
    /// It needs the API server.
    #[error("static pods may not reference {0}")]
    Reference(&'static str),
}

/// Where a manifest is, and when it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The name of this node.
    pub(super) node: &'a str,
    /// Where the text was.
    pub(super) origin: Origin<'a>,
    /// The time.
    pub(super) at: Timestamp,
}

/// Where a text was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// In a file.
    File(&'a Path),
    /// Behind a URL.
    Url(&'a str),
}

/// What a manifest says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// The Pod that the text names. The same text in the same file of the same node is the same Pod.
pub(super) fn parse(text: &[u8], found: &Found<'_>) -> Result<Pod, ManifestError> {
    let head: Head = read(text)?;
    if (head.api_version.as_str(), head.kind.as_str()) != ("v1", "Pod") {
        return Err(ManifestError::Kind(format!("{:?} of apiVersion {:?}", head.kind, head.api_version)));
    }
    taken(read(text)?, found)
}

/// The Pods that the text names: one, or those of a list.
pub(super) fn parse_all(text: &[u8], found: &Found<'_>) -> Result<Vec<Pod>, ManifestError> {
    let head: Head = read(text)?;
    if (head.api_version.as_str(), head.kind.as_str()) != ("v1", "PodList") {
        return Ok(vec![parse(text, found)?]);
    }
    let list: PodList = read(text)?;
    list.items.into_iter().map(|pod| taken(pod, found)).collect()
}

#[derive(Deserialize)]
struct PodList {
    items: Vec<Pod>,
}

fn taken(mut pod: Pod, found: &Found<'_>) -> Result<Pod, ManifestError> {
    pod.status = None;
    check(&pod)?;
    let uid = hash(&pod, found);
    settle(&mut pod, uid, found);
    Ok(pod)
}

fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, ManifestError> {
    serde_saphyr::from_slice(text).map_err(|error| ManifestError::Syntax(Box::new(error)))
}

/// What must hold before anything of the Pod is set up: names become names of directories. All else the API server says of the
/// mirror.
fn check(pod: &Pod) -> Result<(), ManifestError> {
    let meta = &pod.metadata;
    named("metadata.name", meta.name.as_deref(), dns1123_subdomain)?;
    if meta.namespace.is_some() {
        named("metadata.namespace", meta.namespace.as_deref(), dns1123_label)?;
    }
    let spec = pod.spec.as_ref().filter(|spec| !spec.containers.is_empty());
    let spec = spec.ok_or_else(|| refusal("spec.containers", "at least one is required"))?;
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        named(&format!("spec.volumes[{index}].name"), Some(&volume.name), dns1123_label)?;
    }
    check_containers(spec)?;
    references::first(pod).map_or(Ok(()), |kind| Err(ManifestError::Reference(kind)))
}

fn check_containers(spec: &PodSpec) -> Result<(), ManifestError> {
    let volumes: BTreeSet<&str> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let mut taken = BTreeSet::new();
    let init = spec.init_containers.iter().flatten().map(|container| ("initContainers", container));
    let main = spec.containers.iter().map(|container| ("containers", container));
    for (list, container) in init.chain(main) {
        let field = format!("spec.{list}[{:?}]", container.name);
        named(&format!("{field}.name"), Some(&container.name), dns1123_label)?;
        if !taken.insert(container.name.as_str()) {
            return Err(refusal(&format!("{field}.name"), "another container has it"));
        }
        if container.image.as_deref().is_none_or(str::is_empty) {
            return Err(refusal(&format!("{field}.image"), "it is required"));
        }
        let mut mounts = container.volume_mounts.iter().flatten();
        if let Some(mount) = mounts.find(|mount| !volumes.contains(mount.name.as_str())) {
            let reason = format!("the Pod has no volume {:?}", mount.name);
            return Err(refusal(&format!("{field}.volumeMounts"), &reason));
        }
    }
    Ok(())
}

fn named(field: &str, name: Option<&str>, rule: fn(&str) -> Result<(), String>) -> Result<(), ManifestError> {
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| refusal(field, "it is required"))?;
    rule(name).map_err(|reason| refusal(field, &format!("{name:?}: {reason}")))
}

fn refusal(field: &str, reason: &str) -> ManifestError {
    ManifestError::Field { field: field.to_owned(), reason: reason.to_owned() }
}

/// What tells the Pod from others. Comments and the order of fields do not count.
fn hash(pod: &Pod, found: &Found<'_>) -> String {
    let mut digest = Sha256::new();
    let origin = match found.origin {
        Origin::File(path) => format!("file:{}", path.display()),
        Origin::Url(url) => format!("url:{url}"),
    };
    digest.update(format!("host:{}\0{origin}\0", found.node));
    // Written, not shown: what cannot be written counts as its name does.
    digest.update(serde_json::to_vec(pod).unwrap_or_default());
    let mut text = hex::encode(digest.finalize());
    text.truncate(HASH_LENGTH);
    text
}

/// Gives the Pod what it has from its node.
fn settle(pod: &mut Pod, uid: String, found: &Found<'_>) {
    let meta = &mut pod.metadata;
    let name = meta.name.take().unwrap_or_default();
    meta.name = Some(format!("{name}-{}", found.node.to_lowercase()));
    meta.namespace.get_or_insert_with(|| "default".to_owned());
    (meta.owner_references, meta.finalizers) = (None, None);
    (meta.deletion_timestamp, meta.deletion_grace_period_seconds) = (None, None);
    (meta.generation, meta.resource_version) = (None, None);
    let source = match found.origin {
        Origin::File(_) => FROM_FILE,
        Origin::Url(_) => FROM_URL,
    };
    let told = [(HASH, uid.clone()), (SEEN, found.at.to_string()), (SOURCE, source.to_owned())];
    let annotations = meta.annotations.get_or_insert_default();
    annotations.extend(told.map(|(name, value)| (name.to_owned(), value)));
    meta.uid = Some(uid);
    let Some(spec) = &mut pod.spec else { return };
    spec.node_name = Some(found.node.to_owned());
    // Whatever happens to the node, nobody but it ends the Pod.
    let tolerated = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    spec.tolerations.get_or_insert_default().push(tolerated);
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(request_limits);
}

/// Who limits a resource without a request asks for all of it.
fn request_limits(container: &mut Container) {
    let Some(resources) = &mut container.resources else { return };
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &str) -> Result<Pod, ManifestError> {
        let found = Found {
            node: "Node-1",
            origin: Origin::File(Path::new("/manifests/web.yaml")),
            at: Timestamp::UNIX_EPOCH,
        };
        parse(text.as_bytes(), &found)
    }

    /// A manifest of one container, with this in its spec.
    fn manifest(spec: Value) -> Value {
        let mut whole = json!({ "containers": [{ "name": "main", "image": "app:v1" }] });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": whole })
    }

    #[test]
    fn a_manifest_becomes_a_pod_of_this_node() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {a: b}, generation: 7}\nspec:\n  containers:\n  \
                    - name: main\n    image: app:v1\n    resources: {limits: {cpu: 1, memory: 64Mi}}\n";
        let pod = parsed(text).unwrap();
        let meta = &pod.metadata;
        assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("web-node-1"), Some("default")));
        let annotations = meta.annotations.as_ref().unwrap();
        assert_eq!(annotations[HASH], meta.uid.clone().unwrap());
        assert!(super::super::is_hash(&annotations[HASH]) && super::super::is_static(&pod));
        assert_eq!((&*annotations[SEEN], meta.generation), ("1970-01-01T00:00:00Z", None));
        let spec = pod.spec.unwrap();
        assert_eq!(spec.node_name.as_deref(), Some("Node-1"));
        assert_eq!(spec.tolerations.unwrap()[0].effect.as_deref(), Some("NoExecute"));
        let resources = spec.containers[0].resources.clone().unwrap();
        assert_eq!(
            (&*resources.limits.clone().unwrap()["cpu"].0, resources.requests),
            ("1", resources.limits)
        );
    }

    #[test]
    fn the_same_manifest_is_the_same_pod_and_another_is_another() {
        let uid = |text: &str| parsed(text).unwrap().metadata.uid.unwrap();
        let text = manifest(json!({})).to_string();
        assert_eq!(uid(&text), uid(&format!("# A remark.\n{text}\n")));
        assert_ne!(uid(&text), uid(&manifest(json!({ "hostNetwork": true })).to_string()));
    }

    #[rstest]
    #[case::no_yaml("a: [", "it cannot be read as YAML or JSON of one Pod")]
    #[case::empty("# Nothing yet.", "it is \"\" of apiVersion \"\" and not a Pod of apiVersion v1")]
    #[case::two(
        "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\n",
        "it cannot be read as YAML or JSON of one Pod"
    )]
    #[case::something_else(
        "apiVersion: apps/v1\nkind: Deployment\n",
        "it is \"Deployment\" of apiVersion \"apps/v1\" and not a Pod of apiVersion v1"
    )]
    #[case::nameless(
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: b}]}\n",
        "metadata.name: it is required"
    )]
    #[case::bare(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n",
        "spec.containers: at least one is required"
    )]
    fn what_is_no_pod_is_refused_with_where_and_why(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parsed(text).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case::image(json!({ "containers": [{ "name": "a" }] }), "spec.containers[\"a\"].image: it is required")]
    #[case::twice(
        json!({ "initContainers": [{ "name": "main", "image": "b" }] }),
        "spec.containers[\"main\"].name: another container has it"
    )]
    #[case::volume(
        json!({ "containers": [{ "name": "a", "image": "b", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }] }),
        "spec.containers[\"a\"].volumeMounts: the Pod has no volume \"v\""
    )]
    #[case::reference(
        json!({ "volumes": [{ "name": "v", "configMap": { "name": "c" } }] }),
        "static pods may not reference configmaps"
    )]
    fn what_cannot_run_is_refused_with_where_and_why(#[case] spec: Value, #[case] message: &str) {
        assert_eq!(parsed(&manifest(spec).to_string()).unwrap_err().to_string(), message);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_pod_with_names_that_lead_elsewhere(
            name in "\\PC{0,20}", namespace in "[a-z./]{0,6}", container in "[a-z./]{0,6}", volume in "[a-z./]{0,6}",
        ) {
            let spec = json!({
                "containers": [{ "name": container, "image": "i" }], "volumes": [{ "name": volume, "emptyDir": {} }],
            });
            let metadata = json!({ "name": name, "namespace": namespace });
            let whole = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
            if let Ok(pod) = parsed(&whole.to_string()) {
                let spec = pod.spec.unwrap();
                let volume = &spec.volumes.unwrap()[0].name;
                for word in [&pod.metadata.name.unwrap(), &pod.metadata.namespace.unwrap(), &spec.containers[0].name, volume] {
                    prop_assert!(!word.is_empty() && !word.contains('/') && !word.starts_with('.'), "{word:?}");
                }
            }
        }

        #[test]
        fn whatever_is_in_a_file_is_a_pod_or_refused(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parsed(&text).is_err());
            let found = Found { node: "n", origin: Origin::File(Path::new("/m")), at: Timestamp::UNIX_EPOCH };
            prop_assert!(parse(&bytes, &found).is_err());
        }

        #[test]
        fn a_manifest_that_was_cut_off_or_overwritten_never_panics(at in 0_usize..400, length in 0_usize..40, byte in any::<u8>()) {
            let spec = json!({ "volumes": [{ "name": "v", "emptyDir": { "sizeLimit": "1Mi" } }], "priority": 5 });
            let mut text = manifest(spec).to_string().into_bytes();
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            text[from..to].fill(byte);
            let found = Found { node: "n", origin: Origin::File(Path::new("/m")), at: Timestamp::UNIX_EPOCH };
            let refused = parse(&text, &found).err().map(|error| error.to_string());
            prop_assert!(refused.is_none_or(|message| !message.is_empty()));
            prop_assert!(from == text.len() || parse(&text[..from], &found).is_err());
        }
    }
}
