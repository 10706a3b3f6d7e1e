//! How many Pods to create, or which to delete.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::kind::Replicated;
use super::rank::rank;
use crate::objects::pod_control::pod_of;
use crate::objects::pods::is_active;

/// The most Pods created or deleted in one go.
const BURST: usize = 500;

/// What brings the number of Pods nearer to what is wanted.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    Nothing,
    Create { count: usize, pod: Box<Pod> },
    Delete(Vec<Arc<Pod>>),
}

/// Decides from the Pods that belong to the set. Among which Pods it has to choose says `related`.
pub(super) fn plan<S: Replicated>(
    set: &S,
    pods: &[Arc<Pod>],
    related: impl FnOnce() -> Vec<Arc<Pod>>,
    now: Timestamp,
) -> Decision {
    if set.meta().deletion_timestamp.is_some() {
        return Decision::Nothing;
    }
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    let wanted = replicas(set);
    if active.len() < wanted {
        return Decision::Create {
            count: (wanted - active.len()).min(BURST),
            pod: Box::new(pod_of(set, set.template())),
        };
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Decision::Nothing;
    }
    let mut ranked = rank(active, &related(), now);
    ranked.truncate(surplus);
    Decision::Delete(ranked)
}

/// How many Pods the set asks for.
fn replicas(set: &impl Replicated) -> usize {
    let asked = set.replicas().unwrap_or(1);
    usize::try_from(asked).unwrap_or(0)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
