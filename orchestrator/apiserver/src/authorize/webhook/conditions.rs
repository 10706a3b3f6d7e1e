//! [`Conditions`]: expressions that keep questions from a webhook.

use std::sync::Arc;

use wherry_cel::{Env, Program, Type, Types, Value as Cel};
use wherry_schema::Value;

use crate::authorize::aggregate;
use crate::object::Fields;
use crate::validation::{Errors, Path};

/// The most conditions a webhook has.
const MOST: usize = 64;
/// What one expression may cost.
const BUDGET: u64 = 1_000_000;
/// The type of `request`.
const SPEC: &str = "kubernetes.SubjectAccessReviewSpec";

/// The conditions of one webhook, compiled.
#[derive(Debug, Default)]
pub(in crate::authorize) struct Conditions(Vec<(String, Program)>);

impl Conditions {
    /// Compiles conditions; what is wrong with them is told of this field.
    pub(in crate::authorize) fn compile(conditions: &[Value], path: &Path, errors: &mut Errors) -> Self {
        if conditions.len() > MOST {
            errors.too_many(path, conditions.len(), MOST);
            return Self::default();
        }
        let mut compiled: Vec<(String, Program)> = Vec::new();
        let mut seen = Vec::new();
        for (at, condition) in conditions.iter().enumerate() {
            let (path, text) = (path.index(at).child("expression"), condition.text("expression"));
            if text.trim().is_empty() {
                errors.required(&path, "");
            } else if seen.contains(&text) {
                errors.duplicate(&path, text);
            } else {
                seen.push(text);
                match compile(text) {
                    Ok(program) => compiled.push((text.to_owned(), program)),
                    Err(why) => errors.invalid(&path, text, &why),
                }
            }
        }
        Self(compiled)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all conditions hold of the spec of a review. One that does not hold decides; otherwise the error says what
    /// could not be evaluated.
    pub(super) fn hold(&self, spec: &Value) -> Result<bool, String> {
        let mut errors = Vec::new();
        for (text, program) in &self.0 {
            let request = Cel::view(spec, None).map_err(|why| why.to_string())?;
            match program.evaluate(&[("request", request)], BUDGET).result {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {}
                Err(why) => {
                    errors
                        .push(format!("cel evaluation error: expression '{text}' resulted in error: {why}"));
                }
            }
        }
        if errors.is_empty() { Ok(true) } else { Err(aggregate(errors)) }
    }
}

fn compile(text: &str) -> Result<Program, String> {
    let env = Env::kubernetes().variable("request", Type::object(SPEC)).types(Arc::new(Reviews));
    let program = env.compile(text).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.result_type() {
        Type::Bool => Ok(program),
        other => Err(format!("must evaluate to bool but got {}", other.declared())),
    }
}

/// The types of a review.
struct Reviews;

impl Types for Reviews {
    fn contains(&self, name: &str) -> bool {
        matches!(
            name.strip_prefix("kubernetes."),
            Some(
                "SubjectAccessReviewSpec"
                    | "ResourceAttributes"
                    | "NonResourceAttributes"
                    | "FieldSelectorAttributes"
                    | "LabelSelectorAttributes"
                    | "SelectorRequirement"
            )
        )
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        let object = |name: &str| Some(Type::object(&format!("kubernetes.{name}")));
        match (name.strip_prefix("kubernetes.")?, field) {
            ("SubjectAccessReviewSpec", "resourceAttributes") => object("ResourceAttributes"),
            ("SubjectAccessReviewSpec", "nonResourceAttributes") => object("NonResourceAttributes"),
            ("SubjectAccessReviewSpec", "groups") | ("SelectorRequirement", "values") => {
                Some(Type::list(Type::String))
            }
            ("SubjectAccessReviewSpec", "extra") => Some(Type::map(Type::String, Type::list(Type::String))),
            ("ResourceAttributes", "fieldSelector") => object("FieldSelectorAttributes"),
            ("ResourceAttributes", "labelSelector") => object("LabelSelectorAttributes"),
            ("FieldSelectorAttributes" | "LabelSelectorAttributes", "requirements") => {
                Some(Type::list(Type::object("kubernetes.SelectorRequirement")))
            }
            ("SubjectAccessReviewSpec", "user" | "uid")
            | ("NonResourceAttributes", "path" | "verb")
            | ("SelectorRequirement", "key" | "operator")
            | ("FieldSelectorAttributes" | "LabelSelectorAttributes", "rawSelector")
            | (
                "ResourceAttributes",
                "namespace" | "verb" | "group" | "version" | "resource" | "subresource" | "name",
            ) => Some(Type::String),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditions(texts: &[&str]) -> Result<Conditions, String> {
        let list: Vec<Value> = texts.iter().map(|text| json!({"expression": text}).into()).collect();
        let mut errors = Errors::default();
        let compiled = Conditions::compile(&list, &Path::new("c"), &mut errors);
        if errors.is_empty() { Ok(compiled) } else { Err(errors.to_string()) }
    }

    fn hold(texts: &[&str]) -> Result<bool, String> {
        let spec = json!({
            "user": "ann", "groups": ["dev"], "uid": "", "extra": {"k": ["v"]},
            "resourceAttributes": {"namespace": "a", "verb": "list", "group": "", "version": "v1", "resource": "pods",
                "subresource": "", "name": "",
                "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]}},
        });
        conditions(texts)?.hold(&spec.into())
    }

    #[test]
    fn questions_are_told_apart_by_who_asks_for_what() {
        for text in [
            "request.user == 'ann' && 'dev' in request.groups && request.uid == ''",
            "has(request.resourceAttributes) && !has(request.nonResourceAttributes)",
            "request.resourceAttributes.namespace == 'a' && request.resourceAttributes.name == ''",
            "request.extra['k'] == ['v']",
            "request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == 'spec.nodeName' && r.values == ['n'])",
            "!has(request.resourceAttributes.labelSelector)",
        ] {
            assert_eq!(hold(&[text]), Ok(true), "{text}");
        }
        let broken = "request.nonResourceAttributes.path == '/x'";
        assert_eq!(hold(&[broken, "request.user == 'bob'"]), Ok(false));
        assert_eq!(
            hold(&[broken, "request.user == 'ann'"]),
            Err(format!(
                "cel evaluation error: expression '{broken}' resulted in error: no such key: nonResourceAttributes"
            ))
        );
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let refused = |texts: &[&str]| conditions(texts).err().unwrap_or_default();
        assert_eq!(refused(&[" "]), "c[0].expression: Required value");
        assert_eq!(refused(&["true", "true"]), "c[1].expression: Duplicate value: \"true\"");
        assert_eq!(
            refused(&["request.user"]),
            "c[0].expression: Invalid value: \"request.user\": must evaluate to bool but got string"
        );
        let undeclared = refused(&["request.nope == 1"]);
        assert!(
            undeclared.contains("compilation failed: ERROR: <input>:1:8: undefined field 'nope'"),
            "{undeclared}"
        );
        assert_eq!(refused(&["true"; 65]), "c: Too many: 65: must have at most 64 items");
    }
}
