//! The world as a plan changes it: the ReplicaSets with the changes decided so far.
//!
//! Each step of a plan reads and changes the model, so that later steps count with what earlier ones decided.
//! In the end the differences to what was observed become the actions.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::limits::{self, Limits};
use crate::objects::meta::uid;
use crate::objects::template;

/// A ReplicaSet with what was decided about it.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) set: ReplicaSet,
    /// As it was observed; absent if it is to be created.
    pub(super) observed: Option<Arc<ReplicaSet>>,
    pub(super) delete: bool,
}

/// See the module's documentation.
pub(super) struct Model<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    /// Oldest first.
    pub(super) sets: Vec<Planned>,
    /// Which of `sets` has the Deployment's template.
    pub(super) newest: Option<usize>,
    /// The revision to be written at the Deployment.
    pub(super) revision: Option<String>,
    pub(super) conditions: Vec<DeploymentCondition>,
}

impl Planned {
    /// How many Pods the set shall have.
    pub(super) fn replicas(&self) -> i32 {
        replicas(&self.set)
    }

    /// How many of its Pods are available.
    pub(super) fn available(&self) -> i32 {
        self.set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    /// How many Pods it has.
    pub(super) fn actual(&self) -> i32 {
        self.set.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// The set's annotation of this name.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.set.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// Sets an annotation.
    pub(super) fn annotate(&mut self, name: &str, value: impl Into<String>) {
        self.set.metadata.annotations.get_or_insert_default().insert(name.to_owned(), value.into());
    }

    /// Sets how many Pods the set shall have.
    pub(super) fn set_replicas(&mut self, replicas: i32) {
        self.set.spec.get_or_insert_default().replicas = Some(replicas.max(0));
    }
}

/// How many Pods a ReplicaSet asks for.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

impl<'a> Model<'a> {
    pub(super) fn new(deployment: &'a Deployment, observed: &[Arc<ReplicaSet>], now: Timestamp) -> Self {
        let mut sets: Vec<_> = observed
            .iter()
            .map(|set| Planned { set: (**set).clone(), observed: Some(set.clone()), delete: false })
            .collect();
        sets.sort_by_cached_key(|planned| {
            let meta = &planned.set.metadata;
            (meta.creation_timestamp.as_ref().map(|time| time.0), meta.name.clone())
        });
        let newest = sets.iter().position(|planned| {
            planned.set.metadata.deletion_timestamp.is_none() && has_template(deployment, &planned.set)
        });
        let status = deployment.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.clone()).unwrap_or_default();
        let limits = limits::limits(deployment);
        Self { deployment, limits, now, sets, newest, revision: None, conditions }
    }

    /// How many Pods the Deployment asks for.
    pub(super) fn wanted(&self) -> i32 {
        limits::replicas(self.deployment)
    }

    /// The Deployment's template.
    pub(super) fn template(&self) -> PodTemplateSpec {
        template_of(self.deployment)
    }

    /// The set of the current template.
    pub(super) fn newest(&self) -> Option<&Planned> {
        self.newest.map(|index| &self.sets[index])
    }

    /// The sets of other templates, oldest first.
    pub(super) fn old(&self) -> impl Iterator<Item = &Planned> {
        self.sets.iter().enumerate().filter(|(index, _)| Some(*index) != self.newest).map(|(_, set)| set)
    }

    /// The indices of the sets of other templates, oldest first.
    pub(super) fn old_indices(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| Some(*index) != self.newest).collect()
    }

    /// How many Pods all sets ask for together.
    pub(super) fn total(&self) -> i32 {
        self.sets.iter().map(Planned::replicas).sum()
    }

    /// How many Pods are available in all sets together.
    pub(super) fn available(&self) -> i32 {
        self.sets.iter().map(Planned::available).sum()
    }

    /// Whether the Deployment is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false)
    }

    /// Whether the set belongs to this Deployment by name of its uid.
    pub(super) fn is_newest_uid(&self, owner: &str) -> bool {
        self.newest().is_some_and(|newest| uid(&newest.set.metadata) == owner)
    }
}

/// The Deployment's template.
pub(super) fn template_of(deployment: &Deployment) -> PodTemplateSpec {
    deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default()
}

/// Whether the set has the Deployment's template.
pub(super) fn has_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    own.zip(wanted).is_some_and(|(own, wanted)| template::same(own, wanted))
}
