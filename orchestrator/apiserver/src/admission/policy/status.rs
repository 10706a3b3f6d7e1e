//! The status of ValidatingAdmissionPolicies: what does not fit the kinds they are about.
//!
//! The server applies it after whatever changed policies, and before that change is answered, where it is asked to do
//! what a controller of Kubernetes does.

use wherry_api::kinds::by_kind;
use wherry_schema::{FieldValidation, Value};

use super::typing;
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::state::State;
use crate::verbs::update::Part;
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
        for wanted in due {
            mark_or_warn(&cx, wanted).await;
        }
    }
}

async fn mark_or_warn(cx: &Cx<'_>, wanted: Value) {
    let name = object::name(&wanted).to_owned();
    match mark_one(cx, &name, wanted).await {
        Ok(()) | Err(Failure::NotFound { .. }) => {}
        Err(error) => tracing::warn!(name, %error, "the status of a policy cannot be written"),
    }
}

/// What is to be applied to the policies whose status is one of an earlier generation.
fn outdated(cx: &Cx<'_>) -> Vec<Value> {
    let snapshot = cx.state.store.snapshot();
    let prefix = cx.prefix();
    let policies = snapshot.range(&prefix, None);
    let policies = policies.filter_map(|entry| codec::decode(&entry.key, &entry.value).ok());
    let due = |policy: &Value| policy.int("metadata.generation") > policy.int("status.observedGeneration");
    policies.filter(due).map(|policy| wanted(cx, &policy)).collect()
}

fn wanted(cx: &Cx<'_>, policy: &Value) -> Value {
    let mut wanted = Value::object();
    wanted.put("apiVersion", cx.kind.api_version());
    wanted.put("kind", cx.kind.kind);
    wanted.put("metadata.name", object::name(policy));
    wanted.assign("status.observedGeneration", policy.field("metadata.generation").cloned());
    wanted.put("status.typeChecking", Value::object());
    let warnings = typing::warnings(policy);
    if !warnings.is_empty() {
        wanted.put("status.typeChecking.expressionWarnings", warnings);
    }
    wanted
}

async fn mark_one(cx: &Cx<'_>, name: &str, wanted: Value) -> Result<(), Failure> {
    let options = WriteOptions {
        dry_run: false,
        validation: FieldValidation::Ignore,
        manager: MANAGER.to_owned(),
        names_manager: true,
        force: Some(true),
    };
    let config = apply::Config::forced(wanted);
    apply::apply(cx, (name, Part::Status), &config, &options, &mut Vec::new()).await.map(drop)
}
