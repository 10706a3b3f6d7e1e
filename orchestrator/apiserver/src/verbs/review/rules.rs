//! What the client itself may do, as rules.

use wherry_schema::Value;

use super::Cx;
use crate::auth::UserInfo;
use crate::authorize::{Granted, aggregate};
use crate::error::Failure;
use crate::object::Fields;

/// Answers a SelfSubjectRulesReview.
pub(super) fn all(cx: &Cx<'_>, user: &UserInfo, review: &Value) -> Result<Value, Failure> {
    let namespace = review.text("spec.namespace");
    if namespace.is_empty() {
        return Err(Failure::BadRequest("no namespace on request".to_owned()));
    }
    let (Granted { rules, errors }, incomplete) = cx.state.authorizer.granted(user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &rules {
        if !rule.resources.is_empty() {
            resources.push(shown(&[
                ("verbs", &rule.verbs),
                ("apiGroups", &rule.api_groups),
                ("resources", &rule.resources),
                ("resourceNames", &rule.resource_names),
            ]));
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(shown(&[("verbs", &rule.verbs), ("nonResourceURLs", &rule.non_resource_urls)]));
        }
    }
    let mut answer = Value::object();
    answer.put("metadata", Value::object());
    answer.put("spec", Value::object());
    answer.put("status.resourceRules", resources);
    answer.put("status.nonResourceRules", paths);
    answer.put("status.incomplete", incomplete);
    if !errors.is_empty() {
        answer.put("status.evaluationError", aggregate(errors));
    }
    Ok(answer)
}

/// A rule with those of its fields that say something.
fn shown(fields: &[(&str, &Vec<String>)]) -> Value {
    let mut rule = Value::object();
    for (name, values) in fields.iter().filter(|(_, values)| !values.is_empty()) {
        rule.put(name, (*values).clone());
    }
    rule
}
