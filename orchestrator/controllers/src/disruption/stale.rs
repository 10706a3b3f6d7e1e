//! Pods that were to be disrupted and were not: after two minutes they no longer say so.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::objects::pods::{is_terminal, is_terminating};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// See the module's documentation.
pub(crate) struct StaleDisruptionController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

impl Controller for StaleDisruptionController {
    const NAME: &'static str = "stale-disruption-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.pods.on_change(move |change| {
            if let Some(pod) = change.new.filter(|pod| target_since(pod).is_some()) {
                wake.add(Key::of(&**pod));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let (pod, now) = (self.caches.pods.get(key), self.clock.now());
        let Some((pod, since)) = pod.and_then(|pod| target_since(&pod).map(|since| (pod, since))) else {
            return Ok(Next::OnChange);
        };
        let left = Duration::try_from(TIMEOUT.saturating_sub(now.duration_since(since))).unwrap_or_default();
        if !left.is_zero() {
            return Ok(Next::After(left));
        }
        let condition = json!({
            "type": DISRUPTION_TARGET, "status": "False", "reason": null, "message": null, "lastTransitionTime": now,
        });
        let metadata = json!({ "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version });
        let patch =
            Patch::Strategic(json!({ "metadata": metadata, "status": { "conditions": [condition] } }));
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        match api.patch_status(&key.name, &PatchParams::default(), &patch).await {
            Err(error) if is_not_found(&error) => Ok(Next::OnChange),
            written => written.step("taking back that a Pod is to be disrupted").map(|_| Next::OnChange),
        }
    }
}

/// Since when the Pod says that it is to be disrupted, unless it is on its way. What a kubelet says may take any time.
fn target_since(pod: &Pod) -> Option<Timestamp> {
    if is_terminating(pod) || is_terminal(pod) {
        return None;
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let told = conditions.iter().find(|condition| condition.type_ == DISRUPTION_TARGET)?;
    let stands = told.status == "True" && told.reason.as_deref() != Some("TerminationByKubelet");
    told.last_transition_time.as_ref().filter(|_| stands).map(|time| time.0)
}
