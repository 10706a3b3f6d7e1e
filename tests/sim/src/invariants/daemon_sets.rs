//! A DaemonSet has one Pod on each node: never a second one that counts, but where it surges, and in the end one that is ready
//! and of the newest template.

use serde_json::Value;

use super::Invariant;
use super::deployments_converge::says;
use crate::node::wanted_node;
use crate::object::{controller, is_active, is_terminating, is_true, name, number, text, uid};
use crate::view::{Change, View};

/// See the module's documentation.
pub(super) struct DaemonSets;

impl Invariant for DaemonSets {
    fn name(&self) -> &'static str {
        "a DaemonSet has one Pod on each node"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let Some(pod) = change.new.as_ref().filter(|_| change.kind == "Pod" && change.is_creation()) else {
            return Ok(());
        };
        let Some(set) = before.get("DaemonSet", controller(pod)) else { return Ok(()) };
        let node = wanted_node(pod);
        let others =
            before.owned("Pod", uid(set)).filter(|other| is_active(other) && wanted_node(other) == node);
        let most = 1 + usize::from(number(set, "spec.updateStrategy.rollingUpdate.maxSurge") > 0);
        // What surges may have been changed since.
        let may_have_surged = number(set, "status.observedGeneration") < number(set, "metadata.generation");
        if others.count() >= most && !may_have_surged {
            return Err(format!("{} is one too many of {} on {node:?}", name(pod), name(set)));
        }
        Ok(())
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        view.all("DaemonSet").try_for_each(|set| settled(view, set))
    }
}

fn settled(view: &View, set: &Value) -> Result<(), String> {
    if is_terminating(set) {
        return Err(format!("DaemonSet {} never goes", name(set)));
    }
    for node in view.all("Node") {
        let here = |pod: &&std::sync::Arc<Value>| {
            pod["spec"]["nodeName"] == node["metadata"]["name"] && is_active(pod)
        };
        let pods: Vec<_> = view.owned("Pod", uid(set)).filter(here).collect();
        let version = |object: &Value| text(object, "metadata.annotations.version").to_owned();
        let good = |pod: &&&std::sync::Arc<Value>| {
            is_true(pod, "Ready") && version(pod) == version(&set["spec"]["template"])
        };
        if pods.len() != 1 || pods.iter().filter(good).count() != 1 {
            return Err(format!(
                "DaemonSet {} has {} Pods on {}, or old ones",
                name(set),
                pods.len(),
                name(node)
            ));
        }
    }
    let nodes = i64::try_from(view.all("Node").count()).unwrap_or_default();
    let counts = [
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    says(set, &counts, nodes)
}
