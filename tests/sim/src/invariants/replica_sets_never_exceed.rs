//! A ReplicaSet never makes a Pod more than it was asked for: neither because its cache lags behind, nor because it was
//! started anew, nor because an answer was lost.
//!
//! A Pod is made for what the controller knew, which may be older than what is asked for now; so the limit is the highest
//! number asked for since the generation that the ReplicaSet's status says was looked at.

use std::collections::BTreeMap;

use super::Invariant;
use crate::object::{controller, is_active, is_terminating, name, number, uid};
use crate::view::{Change, View};

/// See the module's documentation.
#[derive(Default)]
pub(super) struct ReplicaSetsNeverExceed {
    /// What each ReplicaSet asked for, by generation.
    asked: BTreeMap<String, BTreeMap<i64, i64>>,
}

impl Invariant for ReplicaSetsNeverExceed {
    fn name(&self) -> &'static str {
        "a ReplicaSet never exceeds what it was asked for"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let Some(new) = &change.new else { return Ok(()) };
        if change.kind == "ReplicaSet" {
            let asked = self.asked.entry(uid(new).to_owned()).or_default();
            asked.insert(number(new, "metadata.generation"), number(new, "spec.replicas"));
        }
        if change.kind != "Pod" || !change.is_creation() {
            return Ok(());
        }
        let Some(set) = before.get("ReplicaSet", controller(new)) else { return Ok(()) };
        let looked_at = number(set, "status.observedGeneration");
        let asked = self.asked.get(uid(set)).into_iter().flat_map(|asked| asked.range(looked_at..));
        let limit = asked.map(|(_, replicas)| *replicas).max().unwrap_or_default();
        let pods = before.owned("Pod", uid(set)).filter(|pod| is_active(pod)).count() + 1;
        if i64::try_from(pods).is_ok_and(|pods| pods > limit) && !is_terminating(set) {
            return Err(format!(
                "{} is Pod {pods} of ReplicaSet {}, which asked for {limit}",
                name(new),
                name(set)
            ));
        }
        Ok(())
    }
}
