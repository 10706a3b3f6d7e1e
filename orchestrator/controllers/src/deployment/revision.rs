//! Revisions: which template came when, as `kubectl rollout history` and `undo` read it.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use kube::api::ObjectMeta;

use super::conditions::{self, NEW_CREATED, NEW_FOUND};
use super::model::{Model, Planned};
use crate::objects::meta::controller_reference;
use crate::objects::template::{HASH_LABEL, hash};

/// The revision, at the Deployment and its ReplicaSets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The revisions a ReplicaSet had before, for templates that came back.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many Pods the Deployment wanted when the ReplicaSet was last scaled.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many Pods the Deployment allowed in all when the ReplicaSet was last scaled.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of the Deployment that its ReplicaSets do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
];
const HISTORY_CHARS: usize = 2000;

/// The revision written at a set.
pub(super) fn revision_of(planned: &Planned) -> i64 {
    planned.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Brings revision, inherited annotations and minReadySeconds of the current set up to date.
pub(super) fn sync(model: &mut Model<'_>) {
    let next = next_revision(model);
    let Some(index) = model.newest else { return };
    let min_ready_seconds = model.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let planned = &mut model.sets[index];
    inherit(planned, model.deployment);
    raise(planned, next);
    let spec = planned.set.spec.get_or_insert_default();
    if spec.min_ready_seconds.unwrap_or(0) != min_ready_seconds.unwrap_or(0) {
        spec.min_ready_seconds = min_ready_seconds;
    }
    let name = planned.set.metadata.name.clone().unwrap_or_default();
    publish(model);
    if conditions::has_deadline(model.deployment) && conditions::progressing(model).is_none() {
        conditions::set_progressing(model, "True", NEW_FOUND, format!("Found new replica set \"{name}\""));
    }
}

/// Adds the set of the current template, with as many Pods as the strategy allows at once.
pub(super) fn create(model: &mut Model<'_>, replicas: i32) {
    let next = next_revision(model);
    let mut planned = Planned { set: new_set(model), observed: None, delete: false };
    planned.set_replicas(replicas);
    inherit(&mut planned, model.deployment);
    raise(&mut planned, next);
    planned.annotate(DESIRED, model.wanted().to_string());
    planned.annotate(MAX, (model.wanted() + model.limits.max_surge).to_string());
    let name = planned.set.metadata.name.clone().unwrap_or_default();
    model.sets.push(planned);
    model.newest = Some(model.sets.len() - 1);
    publish(model);
    if conditions::has_deadline(model.deployment) {
        conditions::set_progressing(
            model,
            "True",
            NEW_CREATED,
            format!("Created new replica set \"{name}\""),
        );
    }
}

fn next_revision(model: &Model<'_>) -> i64 {
    model.old().map(revision_of).max().unwrap_or(0) + 1
}

/// Copies the Deployment's annotations, among them the cause of the change.
fn inherit(planned: &mut Planned, deployment: &k8s_openapi::api::apps::v1::Deployment) {
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_INHERITED.contains(&name.as_str()) {
            planned.annotate(name, value);
        }
    }
}

/// Raises the set's revision; what it was before goes to its history.
fn raise(planned: &mut Planned, revision: i64) {
    let before = revision_of(planned);
    if before >= revision {
        return;
    }
    if planned.annotation(REVISION).is_some() {
        let history = planned.annotation(HISTORY).unwrap_or_default();
        let mut entries: Vec<_> = history.split(',').filter(|entry| !entry.is_empty()).collect();
        let latest = before.to_string();
        entries.push(&latest);
        while entries.len() > 1 && entries.iter().map(|entry| entry.len() + 1).sum::<usize>() > HISTORY_CHARS
        {
            entries.remove(0);
        }
        let history = entries.join(",");
        planned.annotate(HISTORY, history);
    }
    planned.annotate(REVISION, revision.to_string());
}

/// Plans to write the current set's revision at the Deployment.
fn publish(model: &mut Model<'_>) {
    let current = model.newest().and_then(|newest| newest.annotation(REVISION)).map(str::to_owned);
    let written = model.deployment.metadata.annotations.as_ref().and_then(|all| all.get(REVISION));
    if current.as_ref() != written {
        model.revision = current;
    }
}

fn new_set(model: &Model<'_>) -> ReplicaSet {
    let deployment = model.deployment;
    let mut template = model.template();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash(&template, collisions);
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let spec = deployment.spec.as_ref();
    let mut selector = spec.map(|spec| spec.selector.clone()).unwrap_or_default();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let metadata = ObjectMeta {
        name: Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())),
        namespace: deployment.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![controller_reference(deployment)]),
        ..ObjectMeta::default()
    };
    let spec = ReplicaSetSpec {
        min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds),
        replicas: Some(0),
        selector,
        template: Some(template),
    };
    ReplicaSet { metadata, spec: Some(spec), status: None }
}
