//! ControllerRevisions: the templates a StatefulSet or a DaemonSet had, as `kubectl rollout history` and `undo` read
//! them.
//!
//! A revision holds a patch that brings its template back, written as upstream writes it: names of fields in order,
//! without spaces. Two revisions are the same if these bytes are.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::meta::controller_reference;
use super::template::safe;
use crate::runtime::cache::Cache;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists};

/// The label that tells which revision a Pod is of.
pub(crate) const POD_REVISION: &str = "controller-revision-hash";
/// How much of its owner's name a revision bears, so that there is room for the hash.
const PREFIX: usize = 223;

/// A template as a revision holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot(Value);

impl Snapshot {
    pub(crate) fn of(template: &PodTemplateSpec) -> Self {
        let mut template = serde_json::to_value(template).unwrap_or_default();
        if let Some(fields) = template.as_object_mut() {
            fields.insert("$patch".to_owned(), json!("replace"));
        }
        Self(json!({ "spec": { "template": template } }))
    }

    /// Whether the revision holds the same.
    pub(crate) fn is_in(&self, revision: &ControllerRevision) -> bool {
        revision.data.as_ref().is_some_and(|data| data.0 == self.0)
    }

    /// The hash that names a revision of it: FNV-1 of its bytes and of the number of collisions before.
    pub(crate) fn hash(&self, collisions: i32) -> String {
        // Upstream's encoder writes these so.
        let bytes = self.0.to_string();
        let bytes = bytes.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        let mut hash = 0x811c_9dc5_u32;
        for byte in bytes.bytes().chain(collisions.to_string().bytes()) {
            hash = hash.wrapping_mul(0x0100_0193) ^ u32::from(byte);
        }
        safe(hash)
    }
}

/// The template of a revision; nothing if it holds none.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Sorts revisions, oldest first.
pub(crate) fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by_cached_key(|revision| {
        let meta = &revision.metadata;
        (revision.revision, meta.creation_timestamp.as_ref().map(|time| time.0), meta.name.clone())
    });
}

/// A new revision of `owner`, without a name.
pub(crate) fn revision_of<O: Resource<DynamicType = ()>>(
    owner: &O,
    template: &PodTemplateSpec,
    number: i64,
) -> ControllerRevision {
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            namespace: owner.meta().namespace.clone(),
            labels,
            annotations: owner.meta().annotations.clone(),
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(Snapshot::of(template).0)),
        revision: number,
    }
}

/// Names a revision after its owner and its hash, which a label repeats.
pub(crate) fn name(revision: &mut ControllerRevision, owner: &str, hash: &str, label: &str) {
    let end = (0..=PREFIX.min(owner.len())).rev().find(|end| owner.is_char_boundary(*end)).unwrap_or(0);
    revision.metadata.name = Some(format!("{}-{hash}", &owner[..end]));
    let labels = revision.metadata.labels.get_or_insert_with(BTreeMap::new);
    labels.insert(label.to_owned(), hash.to_owned());
}

/// Which revisions, oldest first, history has no room for. Those that are in use are not counted.
pub(crate) fn surplus(
    revisions: &[Arc<ControllerRevision>],
    limit: Option<i32>,
    is_live: impl Fn(&str) -> bool,
) -> Vec<&Arc<ControllerRevision>> {
    let old: Vec<_> = revisions.iter().filter(|revision| !is_live(&revision.name_any())).collect();
    let Ok(limit) = usize::try_from(limit.unwrap_or(10)) else { return Vec::new() };
    let surplus = old.len().saturating_sub(limit);
    old.into_iter().take(surplus).collect()
}

/// Writes revisions.
pub(crate) struct History {
    pub(crate) client: Client,
    pub(crate) cache: Cache<ControllerRevision>,
}

/// What became of the creation of a revision.
pub(crate) enum Created {
    /// It is there, by us or by an earlier attempt.
    Is(Arc<ControllerRevision>),
    /// Another one has its name.
    Collides,
}

impl History {
    fn api(&self, revision: &ControllerRevision) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), &revision.namespace().unwrap_or_default())
    }

    pub(crate) async fn create(&self, revision: &ControllerRevision) -> Result<Created, ReconcileError> {
        let api = self.api(revision);
        let found = match api.create(&PostParams::default(), revision).await {
            Ok(created) => {
                self.cache.note(created.clone());
                return Ok(Created::Is(Arc::new(created)));
            }
            Err(error) if is_already_exists(&error) => api.get(&revision.name_any()).await,
            Err(error) => Err(error),
        };
        let found = found.step("creating a revision")?;
        let is_same = found.data == revision.data;
        Ok(if is_same { Created::Is(Arc::new(found)) } else { Created::Collides })
    }

    /// Writes a changed revision.
    pub(crate) async fn update(
        &self,
        revision: &ControllerRevision,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let api = self.api(revision);
        let written = api.replace(&revision.name_any(), &PostParams::default(), revision).await;
        let written = written.step("writing a revision")?;
        self.cache.note(written.clone());
        Ok(Arc::new(written))
    }

    pub(crate) async fn delete(&self, revision: &ControllerRevision) -> Result<(), ReconcileError> {
        let api = self.api(revision);
        let deleted = delete(&api, &revision.metadata, Only::This, DeleteParams::default()).await;
        deleted.step("deleting an old revision").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;

    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image, "args": ["a<b"]}]},
        }))
        .unwrap()
    }

    fn owner() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "u", "annotations": {"note": "x"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_revision_brings_its_template_back() {
        let revision = revision_of(&owner(), &template("v1"), 3);
        let data = revision.data.as_ref().unwrap().0.to_string();
        assert!(
            data.starts_with(r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels""#),
            "{data}"
        );
        assert_eq!(template_of(&revision), Some(template("v1")));
        assert!(Snapshot::of(&template("v1")).is_in(&revision));
        assert!(!Snapshot::of(&template("v2")).is_in(&revision));
        assert_eq!(revision.metadata.annotations.unwrap()["note"], "x");
    }

    #[test]
    fn the_name_follows_from_the_bytes_and_the_collisions() {
        let snapshot = Snapshot(json!({"a": "<&>"}));
        // FNV-1 of `{"a":"\u003c\u0026\u003e"}0` and `...1`, letters as upstream spells them.
        let expected = |collisions: &str| {
            let bytes = format!(r#"{{"a":"\u003c\u0026\u003e"}}{collisions}"#);
            let hash = bytes
                .bytes()
                .fold(2_166_136_261_u32, |hash, byte| hash.wrapping_mul(16_777_619) ^ u32::from(byte));
            hash.to_string()
                .bytes()
                .map(|digit| char::from(b"bcdfghjklmnpqrstvwxz2456789"[usize::from(digit) % 27]))
                .collect::<String>()
        };
        assert_eq!(snapshot.hash(0), expected("0"));
        assert_eq!(snapshot.hash(1), expected("1"));
        let mut revision = revision_of(&owner(), &template("v1"), 1);
        name(&mut revision, &"n".repeat(300), "hash", "label");
        assert_eq!(revision.name_any(), format!("{}-hash", "n".repeat(223)));
        assert_eq!(revision.metadata.labels.unwrap()["label"], "hash");
    }

    #[test]
    fn the_oldest_that_nobody_uses_go() {
        let revisions: Vec<_> = [4, 1, 3, 2]
            .map(|number| {
                let mut revision = revision_of(&owner(), &template("v"), number);
                revision.metadata.name = Some(format!("r{number}"));
                Arc::new(revision)
            })
            .into();
        let mut sorted = revisions;
        sort(&mut sorted);
        let gone = |limit: i32| -> Vec<_> {
            let surplus = surplus(&sorted, Some(limit), |name| name == "r1");
            surplus.into_iter().map(|revision| revision.name_any()).collect()
        };
        assert_eq!(gone(1), ["r2", "r3"]);
        assert_eq!(gone(3), Vec::<String>::new());
    }
}
