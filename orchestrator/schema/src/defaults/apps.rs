//! Defaults of the workloads that run Pods for ever.

use super::{child, default, items, pod, storage, text};
use crate::value::{Object, Str, Value};

pub(super) fn deployment(deployment: &mut Object) {
    let Some(spec) = child(deployment, "spec") else { return };
    default(spec, &"replicas", 1);
    default(spec, &"revisionHistoryLimit", 10);
    default(spec, &"progressDeadlineSeconds", 600);
    if let Some(rolling) = rolling_update(spec, &"strategy") {
        default(rolling, &"maxSurge", text(&"25%"));
        default(rolling, &"maxUnavailable", text(&"25%"));
    }
    pod::template(spec);
}

pub(super) fn replica_set(set: &mut Object) {
    let Some(spec) = child(set, "spec") else { return };
    default(spec, &"replicas", 1);
    pod::template(spec);
}

pub(super) fn daemon_set(set: &mut Object) {
    let annotations = set.object_mut(Str::fixed(&"metadata")).object_mut(Str::fixed(&"annotations"));
    default(annotations, &"deprecated.daemonset.template.generation", text(&"0"));
    let Some(spec) = child(set, "spec") else { return };
    default(spec, &"revisionHistoryLimit", 10);
    if let Some(rolling) = rolling_update(spec, &"updateStrategy") {
        default(rolling, &"maxSurge", 0);
        default(rolling, &"maxUnavailable", 1);
    }
    pod::template(spec);
}

pub(super) fn stateful_set(set: &mut Object) {
    let Some(spec) = child(set, "spec") else { return };
    default(spec, &"podManagementPolicy", text(&"OrderedReady"));
    default(spec, &"replicas", 1);
    default(spec, &"revisionHistoryLimit", 10);
    if let Some(rolling) = rolling_update(spec, &"updateStrategy") {
        default(rolling, &"partition", 0);
    }
    let retention = spec.object_mut(Str::fixed(&"persistentVolumeClaimRetentionPolicy"));
    default(retention, &"whenDeleted", text(&"Retain"));
    default(retention, &"whenScaled", text(&"Retain"));
    for claim in items(spec, "volumeClaimTemplates") {
        // Templates are whole claims, which say what they are.
        claim.insert(Str::fixed(&"apiVersion"), text(&"v1"));
        claim.insert(Str::fixed(&"kind"), text(&"PersistentVolumeClaim"));
        storage::claim(claim);
    }
    pod::template(spec);
}

/// The settings of a rolling update, if that is how the workload is updated.
fn rolling_update<'a>(spec: &'a mut Object, strategy: &'static &'static str) -> Option<&'a mut Object> {
    let strategy = spec.object_mut(Str::fixed(strategy));
    default(strategy, &"type", text(&"RollingUpdate"));
    let rolling = strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate");
    rolling.then(|| strategy.object_mut(Str::fixed(&"rollingUpdate")))
}

pub(super) fn replication_controller(controller: &mut Object) {
    let labels = child(controller, "spec").and_then(|spec| {
        default(spec, &"replicas", 1);
        pod::template(spec);
        let labels = template_labels(spec)?;
        fill_map(spec, &"selector", &labels);
        Some(labels)
    });
    if let Some(labels) = labels {
        label(controller, &labels);
    }
}

/// The labels of a workload's Pods, if there are any.
pub(super) fn template_labels(spec: &mut Object) -> Option<Object> {
    let metadata = child(spec, "template").and_then(|template| child(template, "metadata"))?;
    child(metadata, "labels").cloned()
}

/// Labels an object that has no labels.
pub(super) fn label(object: &mut Object, labels: &Object) {
    fill_map(object.object_mut(Str::fixed(&"metadata")), &"labels", labels);
}

fn fill_map(object: &mut Object, name: &'static &'static str, value: &Object) {
    let map = object.object_mut(Str::fixed(name));
    if map.is_empty() {
        map.clone_from(value);
    }
}
