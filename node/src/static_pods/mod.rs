//! Static Pods: those that manifests name, in a directory or behind a URL, which run whether or not there is an API server.
//!
//! # Flow
//! ```text
//! files -> directory (what they name, kept up to date) -\
//! answers -> url (what they name) ----------------------> sources -> the supervisor of Pods, which runs them like all others
//!                                                          \-> mirrors (what the API shows of them)
//! ```
//!
//! # Guarantees
//! - A manifest that cannot be used is told, and changes nothing about the Pods of others, nor about the one it named before.
//! - A manifest that says something else is another Pod: it has another uid, and starts when the one before has ended.
//! - Nothing is read from the API for these Pods, so what refers to its objects is refused.
//!
//! Reading order: `manifest`, `references`, `directory`, `url`, `sources`, `mirrors`.

mod directory;
mod manifest;
mod mirrors;
mod references;
mod sources;
mod url;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

pub(crate) use directory::{Directory, DirectoryError};
pub(crate) use mirrors::{Mirrors, Wish};
pub(crate) use sources::join;
pub(crate) use url::Asker;
pub use url::{ManifestUrl, ManifestUrlError};

/// The most bytes of a manifest: as many as the API takes of one object.
const MOST: u64 = 3 << 20;

/// Where a Pod is from: `file` or `http`, or `api` where anything is said at all.
const SOURCE: &str = "kubernetes.io/config.source";
const FROM_FILE: &str = "file";
const FROM_URL: &str = "http";
/// What a static Pod is told apart by.
const HASH: &str = "kubernetes.io/config.hash";
/// When its manifest was read.
const SEEN: &str = "kubernetes.io/config.seen";
/// In the API's object of a static Pod: the hash of the Pod that it shows.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The letters of a hash.
const HASH_LENGTH: usize = 32;

/// The Pods of all manifests.
pub(crate) type StaticPods = Vec<Arc<Pod>>;

/// The one before if both are the same Pod: only when they were seen differs.
fn kept(before: Option<Arc<Pod>>, now: Pod) -> Arc<Pod> {
    before.filter(|before| before.metadata.uid == now.metadata.uid).unwrap_or_else(|| Arc::new(now))
}

fn name(pod: &Pod) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name))
}

fn uids(pods: &StaticPods) -> Vec<Option<String>> {
    pods.iter().map(|pod| pod.metadata.uid.clone()).collect()
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Whether the Pod, as this node runs it, is from a manifest.
pub(crate) fn is_static(pod: &Pod) -> bool {
    annotation(pod, SOURCE).is_some_and(|source| [FROM_FILE, FROM_URL].contains(&source))
}

/// Whether the API's object shows a Pod that is from a manifest.
pub(crate) fn is_mirror(pod: &Pod) -> bool {
    annotation(pod, MIRROR).is_some()
}

/// Whether the API's object shows this static Pod.
pub(crate) fn shows(mirror: &Pod, pod: &Pod) -> bool {
    annotation(mirror, MIRROR).is_some_and(|hash| Some(hash) == pod.metadata.uid.as_deref())
}

/// Whether a Pod of this uid was from a manifest: those of the API have other letters.
pub(crate) fn is_hash(uid: &str) -> bool {
    uid.len() == HASH_LENGTH && uid.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A Pod that the API names, which does not decide where it is from.
pub(crate) fn of_api(mut pod: Pod) -> Pod {
    if let Some(source) = pod.metadata.annotations.as_mut().and_then(|all| all.get_mut(SOURCE)) {
        "api".clone_into(source);
    }
    pod
}
