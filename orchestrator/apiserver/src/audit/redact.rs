//! What is secret stays out of the log, at every level.
//!
//! Whatever the policy says, what Secrets hold and the tokens of requests for and reviews of tokens are recorded as
//! [`REDACTED`]. Of what is secret only fields that are known to be harmless stay readable, so a field that is spelled
//! wrongly is not recorded either.

use wherry_schema::{Object, Value};

use super::event::ObjectRef;

/// What is recorded in place of a secret.
const REDACTED: &str = "REDACTED";

/// Fields of a Secret, of a list or a table of them, and of a change of one that hold nothing secret.
const HARMLESS: [&str; 9] =
    ["apiVersion", "columnDefinitions", "from", "immutable", "kind", "op", "path", "type", "cells"];

/// The annotation in which kubectl keeps the object that it applied last, with all it holds.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What of a resource is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Nothing.
    None,
    /// What a Secret holds.
    Data,
    /// Fields named `token`.
    Token,
}

impl Secrecy {
    /// What is secret in requests for a resource and in their answers.
    pub(super) fn of(object: Option<&ObjectRef>) -> Self {
        let Some(object) = object else { return Self::None };
        match (object.api_group.as_str(), object.resource.as_str(), object.subresource.as_str()) {
            ("", "secrets", _) => Self::Data,
            ("", "serviceaccounts", "token") | ("authentication.k8s.io", "tokenreviews", _) => Self::Token,
            _ => Self::None,
        }
    }

    /// Makes unreadable what is secret in a body.
    pub(super) fn redact(self, body: &mut Value) {
        match self {
            Self::Data if body.get("kind").and_then(Value::as_str) != Some("Status") => data(body),
            Self::Token => token(body),
            Self::None | Self::Data => (),
        }
    }
}

/// A Secret, several of them, or changes of one.
fn data(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(data),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| match name.as_str() {
            "metadata" => metadata(field),
            // Of an item of a list, and of the row of a table.
            "items" | "rows" | "object" => data(field),
            name if HARMLESS.contains(&name) => (),
            _ => mask(field),
        }),
        other => mask(other),
    }
}

fn metadata(value: &mut Value) {
    let annotations = value.get_mut("annotations").and_then(Value::as_object_mut);
    if let Some(applied) = annotations.and_then(|annotations: &mut Object| annotations.get_mut(LAST_APPLIED))
    {
        mask(applied);
    }
}

/// Fields named `token`, wherever they are.
fn token(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(token),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| {
            if name.as_str().eq_ignore_ascii_case("token") { mask(field) } else { token(field) }
        }),
        _ => (),
    }
}

/// Makes a value unreadable; the names of fields stay.
fn mask(value: &mut Value) {
    match value {
        Value::Null => (),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| mask(field)),
        other => *other = Value::fixed(&REDACTED),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(group: &str, resource: &str, subresource: &str) -> Secrecy {
        let object = ObjectRef {
            api_group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            ..ObjectRef::default()
        };
        Secrecy::of(Some(&object))
    }

    fn redacted(secrecy: Secrecy, body: &serde_json::Value) -> serde_json::Value {
        let mut value = Value::from_json(body.to_string().as_bytes()).unwrap();
        secrecy.redact(&mut value);
        serde_json::from_slice(&value.to_json_bytes()).unwrap()
    }

    #[test]
    fn what_secrets_hold_is_masked_wherever_a_body_may_carry_it() {
        let secrets = of("", "secrets", "");
        let applied = json!({"annotations": {LAST_APPLIED: "hunter2", "a": "b"}, "name": "s"});
        let secret = json!({"kind": "Secret", "metadata": applied, "data": {"k": "hunter2"},
                            "stringData": {"l": "hunter2"}, "Data": {"m": ["hunter2"]}, "type": "Opaque"});
        let shown = json!({"kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: REDACTED, "a": "b"},
                           "name": "s"}, "data": {"k": REDACTED}, "stringData": {"l": REDACTED},
                           "Data": {"m": [REDACTED]}, "type": "Opaque"});
        assert_eq!(redacted(secrets, &secret), shown);
        let lists =
            json!({"kind": "SecretList", "items": [secret], "rows": [{"cells": ["s"], "object": secret}]});
        let expected =
            json!({"kind": "SecretList", "items": [shown], "rows": [{"cells": ["s"], "object": shown}]});
        assert_eq!(redacted(secrets, &lists), expected);
        let steps = json!([{"op": "add", "path": "/data/k", "value": "hunter2"}, {"op": "test", "path": "",
                           "value": {"data": {"k": "hunter2"}}}]);
        let expected = json!([{"op": "add", "path": "/data/k", "value": REDACTED}, {"op": "test", "path": "",
                              "value": {"data": {"k": REDACTED}}}]);
        assert_eq!(redacted(secrets, &steps), expected);
        assert_eq!(redacted(secrets, &json!("hunter2")), REDACTED);
        let status = json!({"kind": "Status", "details": {"name": "s"}, "message": "not found"});
        assert_eq!(redacted(secrets, &status), status);
    }

    #[test]
    fn tokens_are_masked_in_requests_for_and_reviews_of_them() {
        let body =
            json!({"spec": {"token": "t", "audiences": ["a"]}, "status": {"token": "t", "Token": {"x": 1}}});
        let shown = json!({"spec": {"token": REDACTED, "audiences": ["a"]},
                           "status": {"token": REDACTED, "Token": {"x": REDACTED}}});
        assert_eq!(redacted(of("", "serviceaccounts", "token"), &body), shown);
        assert_eq!(redacted(of("authentication.k8s.io", "tokenreviews", ""), &body), shown);
        for other in [of("", "serviceaccounts", ""), of("example.com", "secrets", ""), Secrecy::of(None)] {
            assert_eq!(redacted(other, &body), body);
        }
    }
}
