//! The garbage collector deletes what lost its owner and nothing else: what has no owner goes only when a user deletes it,
//! and in the end no object names an owner that is not there.

use serde_json::Value;

use super::{Gone, Invariant};
use crate::object::{at, is_terminating, name, text, uid};
use crate::view::{Change, View};

/// See the module's documentation.
pub(super) struct Ownership {
    /// What users deleted.
    deleted: Gone,
    /// Whether Pods go with their nodes.
    gentle: bool,
}

impl Ownership {
    pub(super) fn new(deleted: Gone, gentle: bool) -> Self {
        Self { deleted, gentle }
    }

    fn may_go(&self, object: &Value) -> bool {
        let taken_by_a_node = object["kind"] == "Pod" && !self.gentle;
        taken_by_a_node || owners(object).next().is_some() || self.deleted.lock().contains(uid(object))
    }
}

impl Invariant for Ownership {
    fn name(&self) -> &'static str {
        "no orphan is deleted, no dependent survives"
    }

    fn sees(&mut self, change: &Change, _: &View) -> Result<(), String> {
        let Some(old) = &change.old else { return Ok(()) };
        let goes = change.new.as_ref().is_none_or(|new| is_terminating(new));
        let matters = matches!(change.kind.as_str(), "Pod" | "ReplicaSet" | "Deployment");
        if matters && goes && !is_terminating(old) && !self.may_go(old) {
            return Err(format!("{} {} has no owner and was deleted by no user", change.kind, name(old)));
        }
        Ok(())
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        for object in view.everything() {
            if let Some(owner) = owners(object).find(|owner| !view.has(text(owner, "uid"))) {
                return Err(format!(
                    "{} {} survives its owner {} {}",
                    text(object, "kind"),
                    name(object),
                    text(owner, "kind"),
                    text(owner, "name"),
                ));
            }
        }
        Ok(())
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    at(object, "metadata.ownerReferences").as_array().into_iter().flatten()
}
