//! A StatefulSet has one Pod of each identity: in the end those from its first ordinal on, all ready, all of the revisions that
//! its update strategy asks for. While it is `OrderedReady`, a Pod is made only when those before it are ready (held in gentle
//! simulations, in which Pods stay so).

use serde_json::Value;

use super::Invariant;
use super::deployments_converge::says;
use crate::object::{controller, is_active, is_terminating, is_true, name, number, text, uid};
use crate::view::{Change, View};

/// See the module's documentation.
pub(super) struct StatefulSets {
    pub(super) gentle: bool,
}

impl Invariant for StatefulSets {
    fn name(&self) -> &'static str {
        "a StatefulSet has one Pod of each identity"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let Some(pod) = change.new.as_ref().filter(|_| change.kind == "Pod" && change.is_creation()) else {
            return Ok(());
        };
        let Some(set) = before.get("StatefulSet", controller(pod)) else { return Ok(()) };
        let (ordered, at) = (text(set, "spec.podManagementPolicy") == "OrderedReady", ordinal(pod));
        let earlier = |other: &&std::sync::Arc<Value>| {
            ordinal(other) < at && is_active(other) && is_true(other, "Ready")
        };
        let ready = before.owned("Pod", uid(set)).filter(earlier).count();
        if self.gentle && ordered && i64::try_from(ready).is_ok_and(|ready| ready < at) {
            return Err(format!("{} is made when {ready} Pods before it are ready", name(pod)));
        }
        Ok(())
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        view.all("StatefulSet").try_for_each(|set| settled(view, set))
    }
}

fn settled(view: &View, set: &Value) -> Result<(), String> {
    let wanted = number(set, "spec.replicas");
    if is_terminating(set) {
        return Err(format!("StatefulSet {} never goes", name(set)));
    }
    let mut pods: Vec<_> = view.owned("Pod", uid(set)).collect();
    pods.sort_by_key(|pod| ordinal(pod));
    let ordinals: Vec<_> = pods.iter().map(|pod| ordinal(pod)).collect();
    if ordinals != (0..wanted).collect::<Vec<_>>() {
        return Err(format!("StatefulSet {} wants {wanted} Pods and has those of {ordinals:?}", name(set)));
    }
    let rolls = text(set, "spec.updateStrategy.type") == "RollingUpdate";
    let partition = number(set, "spec.updateStrategy.rollingUpdate.partition");
    for pod in pods {
        let newest = pod["metadata"]["labels"]["controller-revision-hash"] == set["status"]["updateRevision"];
        if !is_active(pod) || !is_true(pod, "Ready") || (rolls && ordinal(pod) >= partition && !newest) {
            return Err(format!("{} of {} is not ready, or of an old revision", name(pod), name(set)));
        }
    }
    says(set, &["replicas", "readyReplicas", "availableReplicas"], wanted)
}

fn ordinal(pod: &Value) -> i64 {
    let (_, number) = text(pod, "metadata.name").rsplit_once('-').unwrap_or_default();
    number.parse().unwrap_or(-1)
}
