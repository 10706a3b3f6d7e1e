//! The kinds that keep a number of Pods of one template, as the controller sees them.
//!
//! Their statuses say the same; that of a ReplicaSet is the common one here, and a kind leaves out what it has no field for.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use serde::Serialize;

use crate::context::Caches;
use crate::objects::claim::Selects;
use crate::runtime::cache::Cache;

/// See the module's documentation.
pub(crate) trait Replicated: Selects + Serialize + Send + 'static {
    /// The name of its controller in events and logs.
    const CONTROLLER: &'static str;

    fn cache(caches: &Caches) -> &Cache<Self>;

    /// How many Pods are asked for.
    fn replicas(&self) -> Option<i32>;

    fn template(&self) -> Option<&PodTemplateSpec>;

    fn min_ready_seconds(&self) -> Option<i32>;

    fn status(&self) -> Option<ReplicaSetStatus>;

    /// The same object with this status.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

impl Replicated for ReplicaSet {
    const CONTROLLER: &'static str = "replicaset-controller";

    fn cache(caches: &Caches) -> &Cache<Self> {
        &caches.replica_sets
    }

    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn min_ready_seconds(&self) -> Option<i32> {
        self.spec.as_ref()?.min_ready_seconds
    }

    fn status(&self) -> Option<ReplicaSetStatus> {
        self.status.clone()
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}

impl Replicated for ReplicationController {
    const CONTROLLER: &'static str = "replication-controller";

    fn cache(caches: &Caches) -> &Cache<Self> {
        &caches.replication_controllers
    }

    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn min_ready_seconds(&self) -> Option<i32> {
        self.spec.as_ref()?.min_ready_seconds
    }

    fn status(&self) -> Option<ReplicaSetStatus> {
        let status = self.status.as_ref()?;
        let conditions = status.conditions.as_ref().map(|conditions| {
            let common = conditions.iter().cloned().map(|condition| ReplicaSetCondition {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
                last_transition_time: condition.last_transition_time,
            });
            common.collect()
        });
        Some(ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions,
        })
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let conditions = status.conditions.map(|conditions| {
            let own = conditions.into_iter().map(|condition| ReplicationControllerCondition {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
                last_transition_time: condition.last_transition_time,
            });
            own.collect()
        });
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions,
        };
        Self { status: Some(status), ..self.clone() }
    }
}
