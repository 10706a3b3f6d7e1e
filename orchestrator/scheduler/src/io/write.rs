//! Writes about Pods besides bindings: why one has no node, which node it will have, that it has to end.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::send;
use crate::cluster::Placed;
use crate::pod::PodInfo;

/// What is to become of `status.nominatedNodeName`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nominate {
    /// It stays.
    #[default]
    Keep,
    /// It goes, if it is there.
    Clear,
    /// It is this node.
    Node(String),
}

/// The patch of a Pod's status that says why it has no node; nothing if the status says so already.
pub(crate) fn unscheduled_patch(
    pod: &Pod,
    (reason, message): (&str, &str),
    nominate: &Nominate,
    now: Timestamp,
) -> Option<Value> {
    let status = pod.status.as_ref();
    let nominated = status.and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default();
    let nomination = match nominate {
        Nominate::Clear if !nominated.is_empty() => Some(Value::Null),
        Nominate::Node(node) if node != nominated => Some(json!(node)),
        Nominate::Keep | Nominate::Clear | Nominate::Node(_) => None,
    };
    let condition = unscheduled(pod, reason, message, now);
    if nomination.is_none() && condition.is_none() {
        return None;
    }
    let mut status = serde_json::Map::new();
    status.extend(nomination.map(|node| ("nominatedNodeName".to_owned(), node)));
    status.extend(condition.map(|condition| ("conditions".to_owned(), json!([condition]))));
    Some(json!({ "metadata": { "uid": pod.metadata.uid }, "status": status }))
}

fn unscheduled(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Option<PodCondition> {
    let before = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let before = before.into_iter().find(|condition| condition.type_ == "PodScheduled");
    let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
    if before.is_some_and(|before| {
        before.status == "False" && is(&before.reason, reason) && is(&before.message, message)
    }) {
        return None;
    }
    let since = before.filter(|before| before.status == "False");
    Some(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: since.and_then(|since| since.last_transition_time.clone()).or(Some(Time(now))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    })
}

/// The patch of a Pod's status that takes its nomination back.
pub(crate) fn unnominate_patch(pod: &Pod) -> Value {
    json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "nominatedNodeName": null } })
}

/// Writes such a patch.
pub(crate) async fn patch_status(client: Client, pod: Arc<PodInfo>, patch: Value) -> Result<(), kube::Error> {
    send::patch_status::<Pod>(client, (&pod.namespace, &pod.name), &Patch::Strategic(patch)).await
}

/// Ends a Pod in favour of one of a higher priority. `Ok` if it ends, by this or otherwise.
pub(crate) async fn evict(
    client: Client,
    victim: &Placed,
    scheduler: &str,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let condition = PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("PreemptionByScheduler".to_owned()),
        message: Some(format!("{scheduler}: preempting to accommodate a higher priority pod")),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let patch = json!({ "metadata": { "uid": &*victim.uid }, "status": { "conditions": [condition] } });
    let place = (victim.template.namespace.as_str(), &*victim.name);
    if is_gone(send::patch_status::<Pod>(client.clone(), place, &Patch::Strategic(patch)).await)? {
        return Ok(());
    }
    let api = Api::<Pod>::namespaced(client, place.0);
    let only_this = Preconditions { uid: Some(victim.uid.to_string()), resource_version: None };
    let ended = api.delete(&victim.name, &DeleteParams::default().preconditions(only_this)).await;
    is_gone(ended).map(|_| ())
}

/// Whether the Pod is no longer there; a conflict says that another one has its name.
fn is_gone<T>(answer: Result<T, kube::Error>) -> Result<bool, kube::Error> {
    match answer {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(true),
        Err(error) => Err(error),
    }
}
