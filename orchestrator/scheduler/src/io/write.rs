//! Writes decisions: the binding of a Pod, or the condition that says why there is none.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::pod::PodInfo;

/// Binds a Pod to a node.
pub(crate) async fn bind(client: Client, pod: Arc<PodInfo>, node: String) -> Result<(), kube::Error> {
    let metadata = ObjectMeta {
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectMeta::default()
    };
    let target =
        ObjectReference { kind: Some("Node".to_owned()), name: Some(node), ..ObjectReference::default() };
    let binding = Binding { metadata, target };
    let api = Api::<Pod>::namespaced(client, &pod.namespace);
    let _: IgnoredAny =
        api.create_subresource("binding", &pod.name, &PostParams::default(), &binding).await?;
    Ok(())
}

/// The patch of a Pod's status that says why it has no node; nothing if the status says so already.
pub(crate) fn unscheduled_patch(
    pod: &Pod,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<serde_json::Value> {
    let before = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let before = before.into_iter().find(|condition| condition.type_ == "PodScheduled");
    let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
    if before.is_some_and(|before| {
        before.status == "False" && is(&before.reason, reason) && is(&before.message, message)
    }) {
        return None;
    }
    let since = before.filter(|before| before.status == "False");
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: since.and_then(|since| since.last_transition_time.clone()).or(Some(Time(now))),
        ..PodCondition::default()
    };
    Some(json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } }))
}

/// Writes such a patch.
pub(crate) async fn patch_status(
    client: Client,
    pod: Arc<PodInfo>,
    patch: serde_json::Value,
) -> Result<(), kube::Error> {
    let api = Api::<Pod>::namespaced(client, &pod.namespace);
    api.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}
