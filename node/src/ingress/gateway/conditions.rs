//! Conditions, which keep the time of their last change.

use serde_json::{Value, json};

use super::listeners::Problem;

/// A condition that is to be: its type, the reason if it is met, and why it is not.
pub(super) struct Wanted<'p>(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Option<&'p Problem>,
);

/// What becomes of conditions.
pub(super) struct Conditions<'a> {
    /// The generation that they are about.
    pub(super) generation: i64,
    /// The time, as the API writes it.
    pub(super) now: &'a str,
}

impl Conditions<'_> {
    /// The conditions; those of `before` that say the same keep their time, and those of other types stay.
    pub(super) fn list(&self, before: &Value, wanted: &[Wanted<'_>]) -> Value {
        let is_other = |known: &&Value| wanted.iter().all(|Wanted(kind, ..)| known["type"] != *kind);
        let others = before.as_array().into_iter().flatten().filter(is_other).cloned();
        others.chain(wanted.iter().map(|one| self.one(before, one))).collect()
    }

    fn one(&self, before: &Value, Wanted(kind, reason, problem): &Wanted<'_>) -> Value {
        // What a conflict is, is met when something is wrong.
        let is_conflict = *kind == "Conflicted";
        let status = if problem.is_none() == is_conflict { "False" } else { "True" };
        let (reason, message) =
            problem.map_or((*reason, ""), |(reason, message)| (*reason, message.as_str()));
        let same = |known: &&Value| known["type"] == *kind && known["status"] == status;
        let known = before.as_array().into_iter().flatten().find(same);
        let since = known.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(self.now);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": self.generation, "lastTransitionTime": since,
        })
    }
}
