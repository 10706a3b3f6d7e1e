//! Recreate: all old Pods end before the first new one starts.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::model::{Model, Planned};
use super::revision;
use super::scale::resize;
use crate::objects::meta::controller_of;
use crate::objects::pods::is_terminal;

/// Plans one step.
pub(super) fn roll(model: &mut Model<'_>, pods: &[Arc<Pod>]) {
    revision::sync(model);
    if model.old().any(|planned| planned.replicas() > 0) {
        for index in model.old_indices() {
            if model.sets[index].replicas() > 0 {
                resize(model, index, 0);
            }
        }
        return;
    }
    if old_pods_run(model, pods) {
        return;
    }
    match model.newest {
        None => revision::create(model, model.wanted()),
        Some(index) if model.sets[index].replicas() != model.wanted() => resize(model, index, model.wanted()),
        Some(_) => {}
    }
}

fn old_pods_run(model: &Model<'_>, pods: &[Arc<Pod>]) -> bool {
    let is_old = |pod: &Pod| {
        controller_of(&pod.metadata).is_some_and(|owner| !model.is_newest_uid(&owner.uid))
            && !is_terminal(pod)
    };
    model.old().any(|planned: &Planned| planned.actual() > 0) || pods.iter().any(|pod| is_old(pod))
}
