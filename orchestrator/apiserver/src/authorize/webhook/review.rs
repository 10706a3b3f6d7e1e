//! Questions as SubjectAccessReviews, and what they are answered with.

use bytes::Bytes;
use serde_json::json;
use wherry_api::selector::{FieldOp, FieldRequirement, LabelSelector, Operator};
use wherry_schema::Value;

use crate::authorize::{Attributes, Decision, Object, Resource};
use crate::object::Fields;

/// Answers to questions with names of so many bytes together are not kept, for somebody may have made them long.
const LARGE: usize = 10_000;

/// What a program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    denied: bool,
    reason: String,
}

impl Answer {
    pub(super) fn decision(&self) -> Decision {
        let both = self.allowed && self.denied;
        let error = "webhook subject access review returned both allow and deny response";
        Decision {
            allowed: self.allowed && !both,
            denied: self.denied,
            reason: self.reason.clone(),
            error: if both { error.to_owned() } else { String::new() },
        }
    }
}

/// Whether the answer to a question may be kept.
pub(super) fn is_small(attributes: &Attributes<'_>) -> bool {
    let names = match attributes.object {
        Object::Path(path) => path.len(),
        Object::Resource(of) => {
            let names = [of.namespace, of.group, version(&of), of.plural, of.part, of.name];
            names.into_iter().map(str::len).sum()
        }
    };
    names + attributes.verb.len() < LARGE
}

/// The version, or what stands for any.
fn version<'a>(of: &Resource<'a>) -> &'a str {
    if of.version.is_empty() { "*" } else { of.version }
}

/// The `spec` of a review with every field, as conditions are told of it.
pub(super) fn whole(attributes: &Attributes<'_>) -> Value {
    let user = attributes.user;
    let mut spec = json!({"user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra});
    match attributes.object {
        Object::Path(path) => spec["nonResourceAttributes"] = json!({"path": path, "verb": attributes.verb}),
        Object::Resource(of) => spec["resourceAttributes"] = resource(attributes.verb, &of),
    }
    spec.into()
}

fn resource(verb: &str, of: &Resource<'_>) -> serde_json::Value {
    let mut names = json!({
        "namespace": of.namespace, "verb": verb, "group": of.group, "version": version(of),
        "resource": of.plural, "subresource": of.part, "name": of.name,
    });
    let fields: Vec<_> = of.fields.iter().map(field).collect();
    if !fields.is_empty() {
        names["fieldSelector"] = json!({"requirements": fields});
    }
    let labels = LabelSelector::parse(of.labels).unwrap_or_default();
    let labels: Vec<_> =
        labels.requirements().iter().filter_map(|one| label(&one.key, &one.operator)).collect();
    if !labels.is_empty() {
        names["labelSelector"] = json!({"requirements": labels});
    }
    names
}

fn field(one: &FieldRequirement) -> serde_json::Value {
    let operator = if one.op == FieldOp::Eq { "In" } else { "NotIn" };
    json!({"key": one.field, "operator": operator, "values": [one.value]})
}

/// A requirement, if reviews know its operator.
fn label(key: &str, operator: &Operator) -> Option<serde_json::Value> {
    match operator {
        Operator::In(values) => Some(json!({"key": key, "operator": "In", "values": values})),
        Operator::NotIn(values) => Some(json!({"key": key, "operator": "NotIn", "values": values})),
        Operator::Exists => Some(json!({"key": key, "operator": "Exists"})),
        Operator::DoesNotExist => Some(json!({"key": key, "operator": "DoesNotExist"})),
        Operator::GreaterThan(_) | Operator::LessThan(_) => None,
    }
}

/// The `spec` of a review of `v1`, without what is empty.
pub(super) fn spec(attributes: &Attributes<'_>) -> Value {
    let mut spec = whole(attributes);
    prune(&mut spec);
    if let Some(attributes) = spec.get_mut("resourceAttributes") {
        prune(attributes);
    }
    spec
}

fn prune(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => other.as_str() == Some(""),
    };
    let fields = value.as_object().into_iter().flat_map(wherry_schema::Object::iter);
    let gone: Vec<String> =
        fields.filter(|(_, value)| empty(value)).map(|(field, _)| field.to_string()).collect();
    for field in gone {
        value.remove(&[&field]);
    }
}

/// The body of a request.
pub(super) fn request(mut spec: Value, beta: bool) -> Bytes {
    let version = if beta { "v1beta1" } else { "v1" };
    if beta && let Some(groups) = spec.remove(&["groups"]) {
        spec.set(&["group"], groups);
    }
    let mut review = Value::object();
    review.set(&["kind"], "SubjectAccessReview");
    review.set(&["apiVersion"], format!("authorization.k8s.io/{version}"));
    review.set(&["metadata"], Value::object());
    review.set(&["spec"], spec);
    review.set(&["status", "allowed"], false);
    review.to_json_bytes().into()
}

/// What the body of an answer says.
pub(super) fn answer(body: &[u8]) -> Result<Answer, String> {
    let review = Value::from_json(body).map_err(|error| error.to_string())?;
    let (version, kind) = (review.text("apiVersion"), review.text("kind"));
    let known = matches!(version.strip_prefix("authorization.k8s.io/"), Some("v1" | "v1beta1"));
    if kind != "SubjectAccessReview" || !known {
        return Err(format!("no kind {kind:?} is registered for version {version:?}"));
    }
    Ok(Answer {
        allowed: review.flag("status.allowed"),
        denied: review.flag("status.denied"),
        reason: review.text("status.reason").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wherry_api::selector::FieldSelector;

    use super::*;
    use crate::auth::UserInfo;

    fn shown(spec: &Value) -> serde_json::Value {
        serde_json::from_slice(&spec.to_json_bytes()).unwrap()
    }

    #[test]
    fn a_question_says_who_wants_what_and_nothing_that_is_empty() {
        let user = UserInfo::new("ann", &["dev"]);
        let fields = FieldSelector::parse("spec.nodeName=n,metadata.name!=x").unwrap();
        let of = Resource {
            version: "v1",
            plural: "pods",
            namespace: "a",
            fields: fields.requirements(),
            labels: "app in (x,y),!old,age>3",
            ..Resource::default()
        };
        let attributes = Attributes { user: &user, verb: "list", object: Object::Resource(of) };
        let expected = json!({
            "user": "ann", "groups": ["dev"],
            "resourceAttributes": {
                "namespace": "a", "verb": "list", "version": "v1", "resource": "pods",
                "fieldSelector": {"requirements": [
                    {"key": "metadata.name", "operator": "NotIn", "values": ["x"]},
                    {"key": "spec.nodeName", "operator": "In", "values": ["n"]},
                ]},
                "labelSelector": {"requirements": [
                    {"key": "app", "operator": "In", "values": ["x", "y"]},
                    {"key": "old", "operator": "DoesNotExist"},
                ]},
            },
        });
        assert_eq!(shown(&spec(&attributes)), expected);
        let whole = shown(&whole(&attributes));
        assert_eq!((&whole["uid"], &whole["resourceAttributes"]["name"]), (&json!(""), &json!("")));
        let beta: serde_json::Value = serde_json::from_slice(&request(spec(&attributes), true)).unwrap();
        assert_eq!(beta["apiVersion"], "authorization.k8s.io/v1beta1");
        assert_eq!((&beta["spec"]["group"], beta["spec"].get("groups")), (&json!(["dev"]), None));
    }

    #[test]
    fn a_yes_that_is_also_a_no_is_a_no() {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "status": {"allowed": true, "denied": true, "reason": "both"}});
        let decision = answer(body.to_string().as_bytes()).unwrap().decision();
        assert!(decision.denied && !decision.allowed);
        assert_eq!(decision.error, "webhook subject access review returned both allow and deny response");
        assert_eq!(
            answer(b"{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}"),
            Err("no kind \"Pod\" is registered for version \"v1\"".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_are_refused(bytes: Vec<u8>) {
            prop_assert!(answer(&bytes).is_err());
        }
    }
}
