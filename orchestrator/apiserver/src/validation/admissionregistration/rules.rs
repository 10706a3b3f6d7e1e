//! What webhooks and policies look at: operations, groups, versions, resources, conditions.

use wherry_schema::Value;

use crate::admission::policy::expression::{Compiler, Yields};
use crate::object::Fields;
use crate::validation::checks::{show_list, texts};
use crate::validation::{Errors, Path, meta};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const MAX_CONDITIONS: usize = 64;

/// A rule of a policy, which may name objects.
pub(super) fn check_named(rule: &Value, path: &Path, errors: &mut Errors) {
    let names = texts(rule, "resourceNames");
    for (index, name) in names.iter().enumerate() {
        let at = path.child("resourceNames").index(index);
        errors.check(meta::path_segment(name), name, &at);
        if names[..index].contains(name) {
            errors.duplicate(&at, *name);
        }
    }
    check(rule, path, errors);
}

/// A rule: operations on resources.
pub(super) fn check(rule: &Value, path: &Path, errors: &mut Errors) {
    check_wild(rule, ("operations", "operations"), path, errors);
    for (index, operation) in texts(rule, "operations").into_iter().enumerate() {
        errors.one_of(operation, &path.child("operations").index(index), OPERATIONS);
    }
    check_wild(rule, ("apiGroups", "API groups"), path, errors);
    check_wild(rule, ("apiVersions", "API versions"), path, errors);
    for (index, version) in texts(rule, "apiVersions").into_iter().enumerate() {
        errors.some_text(version, &path.child("apiVersions").index(index));
    }
    check_resources(rule, &path.child("resources"), errors);
    if let Some(scope) = rule.field("scope").and_then(Value::as_str) {
        errors.one_of(scope, &path.child("scope"), SCOPES);
    }
}

/// A list that is there, and names nothing beside the wildcard.
fn check_wild(rule: &Value, (field, what): (&str, &str), path: &Path, errors: &mut Errors) {
    let values = texts(rule, field);
    if values.is_empty() {
        errors.required(&path.child(field), "");
    }
    if values.len() > 1 && values.contains(&"*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.invalid(&path.child(field), show_list(rule, field), &detail);
    }
}

fn check_resources(rule: &Value, path: &Path, errors: &mut Errors) {
    let resources = texts(rule, "resources");
    if resources.is_empty() {
        errors.required(path, "");
    }
    let (mut any_sub, mut any_resource) = (Vec::new(), Vec::new());
    let mut bare = false;
    for (index, resource) in resources.iter().enumerate() {
        let at = path.index(index);
        if resource.is_empty() {
            errors.required(&at, "");
            continue;
        }
        let Some((name, sub)) = resource.split_once('/') else {
            bare = *resource != "*";
            continue;
        };
        if any_sub.contains(&name) {
            let detail = format!("if '{name}/*' is present, must not specify {resource}");
            errors.invalid(&at, *resource, &detail);
        }
        if any_resource.contains(&sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {resource}");
            errors.invalid(&at, *resource, &detail);
        }
        if sub == "*" {
            any_sub.push(name);
        }
        if name == "*" {
            any_resource.push(sub);
        }
    }
    let shown = || show_list(rule, "resources");
    if resources.len() > 1 && resources.contains(&"*/*") {
        errors.invalid(path, shown(), "if '*/*' is present, must not specify other resources");
    }
    if resources.contains(&"*") && bare {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(path, shown(), detail);
    }
}

/// Conditions have expressions, which may name parameters or not, and names that differ.
pub(super) fn check_conditions(conditions: &[Value], params: bool, path: &Path, errors: &mut Errors) {
    let compiler = Compiler::new(params);
    if conditions.len() > MAX_CONDITIONS {
        errors.too_many(path, conditions.len(), MAX_CONDITIONS);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let (path, name) = (path.index(index), condition.text("name"));
        let (text, at) = (condition.text("expression").trim(), path.child("expression"));
        if text.is_empty() {
            errors.required(&at, "");
        } else if let Err(why) = compiler.compile(text, Yields::Truth) {
            errors.invalid(&at, text, &why);
        }
        if name.is_empty() {
            errors.required(&path.child("name"), "");
            continue;
        }
        errors.qualified(name, &path.child("name"));
        if conditions[..index].iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
    }
}
