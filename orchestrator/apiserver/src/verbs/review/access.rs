//! Whether somebody may do something.

use std::collections::BTreeMap;

use wherry_api::selector::{FieldOp, FieldRequirement, FieldSelector, LabelSelector};
use wherry_schema::Value;

use super::Cx;
use crate::auth::UserInfo;
use crate::authorize::{Attributes, Object, Resource};
use crate::error::Failure;
use crate::object::Fields;
use crate::validation::{Errors, access_review};

/// Answers a SelfSubjectAccessReview.
pub(super) async fn own(cx: &Cx<'_>, user: &UserInfo, review: Value) -> Result<Value, Failure> {
    let mut errors = Errors::default();
    access_review::check_self(&review, &mut errors);
    refuse(cx, errors)?;
    Ok(decide(cx, user, review).await)
}

/// Answers a SubjectAccessReview or a LocalSubjectAccessReview.
pub(super) async fn of_somebody(cx: &Cx<'_>, review: Value) -> Result<Value, Failure> {
    let mut errors = Errors::default();
    if cx.kind.namespaced {
        access_review::check_local(&review, &mut errors);
    } else {
        access_review::check_subject(&review, &mut errors);
    }
    refuse(cx, errors)?;
    let user = UserInfo {
        name: review.text("spec.user").to_owned(),
        uid: review.text("spec.uid").to_owned(),
        groups: texts(review.field("spec.groups")),
        extra: extra(review.map("spec.extra")),
    };
    Ok(decide(cx, &user, review).await)
}

/// Upstream names no kind in these errors.
fn refuse(cx: &Cx<'_>, errors: Errors) -> Result<(), Failure> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid_named(cx.kind.group, "", "", errors)) }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn extra(given: Option<&wherry_schema::Object>) -> BTreeMap<String, Vec<String>> {
    let pairs = given.into_iter().flat_map(wherry_schema::Object::iter);
    pairs.map(|(key, values)| (key.to_string(), texts(Some(values)))).collect()
}

async fn decide(cx: &Cx<'_>, user: &UserInfo, mut review: Value) -> Value {
    let path = review.field("spec.nonResourceAttributes");
    let about = path.or(review.field("spec.resourceAttributes")).unwrap_or(&Value::Null);
    let (fields, labels) = (fields(about), labels(about));
    let object = match path {
        Some(about) => Object::Path(about.text("path")),
        None => Object::Resource(Resource {
            group: about.text("group"),
            version: about.text("version"),
            plural: about.text("resource"),
            part: about.text("subresource"),
            namespace: about.text("namespace"),
            name: about.text("name"),
            fields: &fields,
            labels: &labels,
        }),
    };
    let attributes = Attributes { user, verb: about.text("verb"), object };
    let decision = cx.state.authorizer.decide(&attributes).await;
    let mut status = Value::object();
    status.put("allowed", decision.allowed);
    if decision.denied {
        status.put("denied", true);
    }
    if !decision.reason.is_empty() {
        status.put("reason", decision.reason);
    }
    let mut errors = ignored_selectors(about);
    errors.splice(..0, Some(decision.error).filter(|error| !error.is_empty()));
    if !errors.is_empty() {
        status.put("evaluationError", errors.join("; "));
    }
    review.put("status", status);
    review
}

/// What fields must be of the objects that are asked about, as far as it can be understood.
fn fields(about: &Value) -> Vec<FieldRequirement> {
    let Some(selector) = about.field("fieldSelector") else { return Vec::new() };
    let raw = FieldSelector::parse(selector.text("rawSelector")).unwrap_or_default();
    let understood = selector.items("requirements").iter().filter(|one| known("fieldSelector", one));
    let understood = understood.map(|one| FieldRequirement {
        field: one.text("key").to_owned(),
        op: if one.text("operator") == "In" { FieldOp::Eq } else { FieldOp::NotEq },
        value: one.items("values").first().and_then(Value::as_str).unwrap_or_default().to_owned(),
    });
    raw.requirements().iter().cloned().chain(understood).collect()
}

/// What labels must be of the objects that are asked about, as a selector of what can be understood.
fn labels(about: &Value) -> String {
    let Some(selector) = about.field("labelSelector") else { return String::new() };
    let raw = selector.text("rawSelector");
    let requirements = selector.items("requirements").iter().filter(|one| known("labelSelector", one));
    let clauses = requirements.map(|one| {
        let (key, values) = (one.text("key"), texts(one.field("values")).join(","));
        match one.text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        }
    });
    let clauses = Some(raw.to_owned()).filter(|raw| !raw.is_empty()).into_iter().chain(clauses);
    clauses.collect::<Vec<_>>().join(",")
}

/// What is said of selectors that cannot be understood. They only narrow a question, so the answer to the wider one
/// is given.
fn ignored_selectors(about: &Value) -> Vec<String> {
    let raw = |name: &str| about.field(name).map(|selector| selector.text("rawSelector")).unwrap_or_default();
    let broken = [
        ("fieldSelector", FieldSelector::parse(raw("fieldSelector")).is_err()),
        ("labelSelector", LabelSelector::parse(raw("labelSelector")).is_err()),
    ];
    let mut said = Vec::new();
    for (name, broken) in broken {
        let requirements = about.field(name).map_or(&[][..], |selector| selector.items("requirements"));
        let bad = requirements.iter().filter(|one| !known(name, one)).count();
        let path = format!("spec.resourceAttributes.{name}");
        if broken || (bad > 0 && bad == requirements.len()) {
            said.push(format!("{path} ignored due to parse error"));
        } else if bad > 0 {
            said.push(format!("{path} partially ignored due to parse error"));
        }
    }
    said
}

/// Whether a requirement is one that this server understands.
fn known(selector: &str, requirement: &Value) -> bool {
    match (selector, requirement.text("operator")) {
        ("fieldSelector", "In" | "NotIn") => requirement.items("values").len() == 1,
        ("labelSelector", "In" | "NotIn" | "Exists" | "DoesNotExist") => true,
        _ => false,
    }
}
