//! Evictions leave as many Pods ready as a PodDisruptionBudget wants.
//!
//! Held in gentle simulations, of Pods that nobody but who evicts takes away: there, what the budget says was ready still is.

use serde_json::Value;

use super::Invariant;
use super::deployments_converge::says;
use crate::object::{at, is_active, is_true, name, number, text};
use crate::user::GUARDED;
use crate::view::{Change, View};

/// See the module's documentation.
pub(super) struct DisruptionBudgets;

impl Invariant for DisruptionBudgets {
    fn name(&self) -> &'static str {
        "no eviction violates a PodDisruptionBudget"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let Some(old) = change.old.as_ref().filter(|old| change.kind == "Pod" && counts(old)) else {
            return Ok(());
        };
        let stays = change.new.as_ref().is_some_and(|new| counts(new));
        let Some(budget) = before.all("PodDisruptionBudget").next().filter(|_| !stays) else { return Ok(()) };
        let left = ready(before) - 1;
        if left < wanted(budget, before) {
            return Err(format!("{} went, {left} Pods stay ready of {budget}", name(old)));
        }
        Ok(())
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        view.all("PodDisruptionBudget").try_for_each(|budget| {
            says(budget, &["currentHealthy"], ready(view))?;
            says(budget, &["desiredHealthy"], wanted(budget, view))?;
            says(budget, &["disruptionsAllowed"], (ready(view) - wanted(budget, view)).max(0))
        })
    }
}

fn counts(pod: &Value) -> bool {
    text(pod, "metadata.labels.app") == GUARDED && is_active(pod) && is_true(pod, "Ready")
}

fn ready(view: &View) -> i64 {
    i64::try_from(view.all("Pod").filter(|pod| counts(pod)).count()).unwrap_or(i64::MAX)
}

/// How many Pods must stay: a number or a percentage, rounded up, of the replicas.
fn wanted(budget: &Value, view: &View) -> i64 {
    let guarded = view.all("ReplicaSet").find(|set| text(set, "metadata.name") == GUARDED);
    let replicas = guarded.map_or(0, |set| number(set, "spec.replicas"));
    let share = |limit: &Value| {
        let percent = limit.as_str().and_then(|limit| limit.strip_suffix('%')?.parse::<i64>().ok());
        percent.map_or(limit.as_i64().unwrap_or_default(), |percent| (percent * replicas + 99) / 100)
    };
    match at(budget, "spec.maxUnavailable") {
        Value::Null => share(at(budget, "spec.minAvailable")),
        limit => (replicas - share(limit)).max(0),
    }
}
