//! In the end every Deployment and every ReplicaSet has the replicas it asks for, all of its newest template, all ready,
//! and says so.

use serde_json::Value;

use super::Invariant;
use crate::object::{is_active, is_terminating, is_true, name, number, uid};
use crate::view::View;

/// See the module's documentation.
pub(super) struct DeploymentsConverge;

impl Invariant for DeploymentsConverge {
    fn name(&self) -> &'static str {
        "replicas converge"
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        view.all("ReplicaSet").try_for_each(|set| replica_set(view, set))?;
        view.all("Deployment").try_for_each(|deployment| settled(view, deployment))
    }
}

fn replica_set(view: &View, set: &Value) -> Result<(), String> {
    let wanted = number(set, "spec.replicas");
    let pods: Vec<_> = view.owned("Pod", uid(set)).filter(|pod| is_active(pod)).collect();
    let ready = pods.iter().filter(|pod| is_true(pod, "Ready")).count();
    if is_terminating(set) {
        return Err(format!("ReplicaSet {} never goes", name(set)));
    }
    if [pods.len(), ready].iter().any(|count| i64::try_from(*count) != Ok(wanted)) {
        return Err(format!(
            "ReplicaSet {} wants {wanted}, has {} Pods, {ready} ready",
            name(set),
            pods.len()
        ));
    }
    says(set, &["replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas"], wanted)
}

fn settled(view: &View, deployment: &Value) -> Result<(), String> {
    let wanted = number(deployment, "spec.replicas");
    if is_terminating(deployment) {
        return Err(format!("Deployment {} never goes", name(deployment)));
    }
    for set in view.owned("ReplicaSet", uid(deployment)) {
        let expected = if is_of(set, deployment) { wanted } else { 0 };
        if number(set, "spec.replicas") != expected {
            let has = number(set, "spec.replicas");
            return Err(format!(
                "Deployment {}: {} asks for {has}, not {expected}",
                name(deployment),
                name(set)
            ));
        }
    }
    if !view.owned("ReplicaSet", uid(deployment)).any(|set| is_of(set, deployment)) {
        return Err(format!("Deployment {} has no ReplicaSet of its template", name(deployment)));
    }
    says(deployment, &["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"], wanted)
}

/// Whether a ReplicaSet makes Pods as a Deployment asks for now.
pub(super) fn is_of(set: &Value, deployment: &Value) -> bool {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    template == deployment["spec"]["template"]
}

/// Whether a status was written for what is asked for now, and these of its counts are as they should be.
pub(super) fn says(object: &Value, counts: &[&str], expected: i64) -> Result<(), String> {
    let kind = &object["kind"];
    if number(object, "status.observedGeneration") != number(object, "metadata.generation") {
        return Err(format!("{kind} {} was not looked at since it changed", name(object)));
    }
    match counts.iter().find(|count| number(&object["status"], count) != expected) {
        Some(count) => Err(format!(
            "{kind} {} says {count} is {}, not {expected}",
            name(object),
            object["status"][count]
        )),
        None => Ok(()),
    }
}
