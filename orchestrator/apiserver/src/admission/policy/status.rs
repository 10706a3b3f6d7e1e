//! The status of ValidatingAdmissionPolicies: what does not fit the kinds they are about.
//!
//! The server applies it after whatever changed policies, and before that change is answered, where it is asked to do
//! what a controller of Kubernetes does.

use wherry_api::kinds::by_kind;
use wherry_schema::Value;

use super::typing;
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::state::State;
use crate::verbs::{Cx, apply};

/// Who owns the status.
const MANAGER: &str = "validatingadmissionpolicy-status";
/// How often policies are looked at after one change.
const PASSES: usize = 3;

/// Makes the status of every policy one of its generation. A policy that goes away or cannot be written is left for the
/// next change.
pub(crate) async fn mark(state: &State) {
    if !state.type_checking {
        return;
    }
    let policies = by_kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
    let cx = Cx::new(state, policies.expect("the kinds table has policies"), "");
    // Another request may have changed a policy while this one was looking at it.
    for _ in 0..PASSES {
        let due = outdated(&cx);
        if due.is_empty() {
            return;
        }
        for (name, status) in due {
            mark_one(&cx, &name, status).await;
        }
    }
}

async fn mark_one(cx: &Cx<'_>, name: &str, status: Value) {
    match apply::own_status(cx, name, MANAGER, status).await {
        Ok(()) | Err(Failure::NotFound { .. }) => {}
        Err(error) => tracing::warn!(name, %error, "the status of a policy cannot be written"),
    }
}

/// The policies whose status is one of an earlier generation, and the status of this one.
fn outdated(cx: &Cx<'_>) -> Vec<(String, Value)> {
    let snapshot = cx.state.store.snapshot();
    let prefix = cx.prefix();
    let policies = snapshot.range(&prefix, None);
    let policies = policies.filter_map(|entry| codec::decode(&entry.key, &entry.value).ok());
    let due = |policy: &Value| policy.int("metadata.generation") > policy.int("status.observedGeneration");
    policies.filter(due).map(|policy| (object::name(&policy).to_owned(), status(cx, &policy))).collect()
}

fn status(cx: &Cx<'_>, policy: &Value) -> Value {
    let mut status = Value::object();
    status.assign("observedGeneration", policy.field("metadata.generation").cloned());
    status.put("typeChecking", Value::object());
    let warnings = typing::warnings(policy, &cx.state.custom.definitions());
    if !warnings.is_empty() {
        status.put("typeChecking.expressionWarnings", warnings);
    }
    status
}
