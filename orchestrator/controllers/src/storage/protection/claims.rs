//! Claims stay while a Pod that has a node mounts them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::super::facts::{claims_of, ephemeral_name, has_node, is_going, is_made_for, volumes};
use super::{finalizers, is_candidate};
use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::objects::pods::is_terminal;
use crate::runtime::cache::Change;
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const FINALIZER: &str = "kubernetes.io/pvc-protection";

/// Keys are those of claims.
pub(crate) struct ClaimProtectionController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for ClaimProtectionController {
    const NAME: &'static str = "persistentvolumeclaim-protection-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.persistent_volume_claims.on_change(move |change| {
            if let Some(claim) = change.new.filter(|claim| is_candidate(&claim.metadata, FINALIZER)) {
                wake.add(Key::of(&**claim));
            }
        });
        let (wake, caches) = (queue.clone(), context.caches.clone());
        context.caches.pods.on_change(move |change| on_pod(change, &wake, &caches));
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.caches.persistent_volume_claims.get(key) else { return Ok(Next::OnChange) };
        if !is_candidate(&claim.metadata, FINALIZER) {
            return Ok(Next::OnChange);
        }
        let is_used = is_going(&claim.metadata) && self.is_used(key, &claim).await?;
        let Some(finalizers) = finalizers(&claim.metadata, FINALIZER, is_used) else {
            return Ok(Next::OnChange);
        };
        let mut changed = (*claim).clone();
        changed.metadata.finalizers = Some(finalizers);
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &key.namespace);
        match api.replace(&key.name, &PostParams::default(), &changed).await {
            Err(error) if is_not_found(&error) => {}
            written => {
                let written = written.step("writing the finalizers of a claim")?;
                if !is_going(&written.metadata) {
                    self.caches.persistent_volume_claims.note(written);
                }
            }
        }
        Ok(Next::OnChange)
    }
}

impl ClaimProtectionController {
    async fn is_used(&self, key: &Key, claim: &PersistentVolumeClaim) -> Result<bool, ReconcileError> {
        if !self.caches.pods.select(&key.namespace, |pod| uses(pod, claim)).is_empty() {
            return Ok(true);
        }
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        let live = api.list(&ListParams::default()).await.step("looking for the Pods of a claim")?;
        Ok(live.items.iter().any(|pod| uses(pod, claim)))
    }
}

/// Whether the Pod mounts the claim. A Pod without a node cannot any more: no node mounts what is being deleted.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    // Its node is done with it, or it was deleted by force.
    let is_over = is_going(&pod.metadata) && pod.metadata.deletion_grace_period_seconds == Some(0);
    let name = claim.name_any();
    let mounts = |volume| ephemeral_name(pod, volume) == name && is_made_for(claim, pod);
    has_node(pod)
        && volumes(pod).any(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => source.claim_name == name,
            (None, Some(_)) => !is_over && mounts(volume),
            (None, None) => false,
        })
}

/// Wakes the claims that a Pod may have stopped using.
fn on_pod(change: &Change<'_, Pod>, queue: &Queue<Key>, caches: &Caches) {
    let is_other =
        matches!((change.old, change.new), (Some(old), Some(new)) if old.metadata.uid != new.metadata.uid);
    let stays = change.new.is_some_and(|pod| !is_terminal(pod) && has_node(pod) && !is_going(&pod.metadata));
    if stays && !is_other {
        return;
    }
    for pod in change.both() {
        for name in claims_of(pod) {
            let key = Key::new(pod.namespace().unwrap_or_default(), name);
            let claim = caches.persistent_volume_claims.get(&key);
            if claim.is_some_and(|claim| is_candidate(&claim.metadata, FINALIZER)) {
                queue.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::mounted(json!({"persistentVolumeClaim": {"claimName": "web-data"}}), json!({}), true)]
    #[case::over(json!({"persistentVolumeClaim": {"claimName": "web-data"}}), json!({"phase": "Succeeded"}), true)]
    #[case::other(json!({"persistentVolumeClaim": {"claimName": "other"}}), json!({}), false)]
    #[case::own(json!({"ephemeral": {}}), json!({}), true)]
    #[case::no_claim(json!({"emptyDir": {}}), json!({}), false)]
    fn a_pod_with_a_node_uses_what_it_mounts(
        #[case] mut volume: Value,
        #[case] status: Value,
        #[case] wanted: bool,
    ) {
        volume["name"] = json!("data");
        let pod = |node: Option<&str>| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "web", "namespace": "ns", "uid": "u-1"},
                "spec": {"nodeName": node, "containers": [], "volumes": [volume]}, "status": status,
            }))
            .unwrap()
        };
        let owner =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1", "controller": true}]);
        let claim = json!({"metadata": {"name": "web-data", "namespace": "ns", "ownerReferences": owner}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        assert_eq!(uses(&pod(Some("n")), &claim), wanted);
        assert!(!uses(&pod(None), &claim));
    }
}
