//! Rules of admission policies and their bindings.

use wherry_api::names;
use wherry_schema::Value;

use super::{FAILURE_POLICIES, MATCH_POLICIES, rules};
use crate::admission::policy::expression::{Compiler, Yields};
use crate::object::{self, Fields};
use crate::validation::checks::{show_list, texts};
use crate::validation::template::check_label_selector;
use crate::validation::{Errors, Path, Shown, meta};

const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION: usize = 5 * 1024;
const NO_NAMES: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// The rules of a ValidatingAdmissionPolicy.
pub(crate) fn check_validating(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = object.field("spec").unwrap_or(&empty);
    let compiler = check_common(spec, &path, errors);
    let (validations, annotations) = (spec.items("validations"), spec.items("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let detail = "validations or auditAnnotations must contain at least one item";
            errors.required(&path.child(field), detail);
        }
        return;
    }
    for (index, validation) in validations.iter().enumerate() {
        check_validation(validation, &compiler, &path.child("validations").index(index), errors);
    }
    let path = path.child("auditAnnotations");
    check_annotations((object::name(object), annotations), &compiler, &path, errors);
}

/// What both kinds of policies have. What compiles their expressions knows their variables.
fn check_common(spec: &Value, path: &Path, errors: &mut Errors) -> Compiler {
    match spec.field("failurePolicy").and_then(Value::as_str) {
        None => errors.required(&path.child("failurePolicy"), ""),
        Some(policy) => errors.one_of(policy, &path.child("failurePolicy"), FAILURE_POLICIES),
    }
    if let Some(kind) = spec.field("paramKind") {
        check_param_kind(kind, &path.child("paramKind"), errors);
    }
    let constraints = path.child("matchConstraints");
    match spec.field("matchConstraints") {
        None => errors.required(&constraints, ""),
        Some(matched) => {
            check_matched(matched, &constraints, errors);
            if matched.items("resourceRules").is_empty() {
                errors.required(&constraints.child("resourceRules"), "");
            }
        }
    }
    let params = spec.has("paramKind");
    rules::check_conditions(spec.items("matchConditions"), params, &path.child("matchConditions"), errors);
    let variables = spec.items("variables");
    let mut compiler = if variables.is_empty() { Compiler::new(params) } else { Compiler::composing(params) };
    for (index, variable) in variables.iter().enumerate() {
        check_variable(variable, &mut compiler, &path.child("variables").index(index), errors);
    }
    compiler
}

/// An expression that there must be compiles to what it must yield.
fn check_expression((text, yields): (&str, Yields), compiler: &Compiler, path: &Path, errors: &mut Errors) {
    if text.trim().is_empty() {
        errors.required(path, "expression is not specified");
    } else if let Err(why) = compiler.compile(text, yields) {
        errors.invalid(path, text, &why);
    }
}

fn check_param_kind(kind: &Value, path: &Path, errors: &mut Errors) {
    let (api_version, at) = (kind.text("apiVersion"), path.child("apiVersion"));
    if api_version.is_empty() {
        errors.required(&at, "");
    } else if api_version.matches('/').count() > 1 {
        errors.invalid(&at, api_version, &format!("unexpected GroupVersion string: {api_version}"));
    } else {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if !group.is_empty() {
            errors.subdomain(group, &at);
        }
        if version.is_empty() {
            errors.invalid(&at, api_version, "version must be specified");
        } else {
            errors.check(names::dns1035_label(version), version, &at);
        }
    }
    let name = kind.text("kind");
    if name.is_empty() {
        errors.required(&path.child("kind"), "");
    } else if let Err(reason) = names::dns1035_label(&name.to_lowercase()) {
        let detail = format!("may have mixed case, but should otherwise match: {reason}");
        errors.invalid(&path.child("kind"), name, &detail);
    }
}

fn check_matched(matched: &Value, path: &Path, errors: &mut Errors) {
    match matched.field("matchPolicy").and_then(Value::as_str) {
        None => errors.required(&path.child("matchPolicy"), ""),
        Some(policy) => errors.one_of(policy, &path.child("matchPolicy"), MATCH_POLICIES),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match matched.field(field) {
            None => errors.required(&path.child(field), ""),
            Some(selector) => check_label_selector(selector, &path.child(field), errors),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in matched.items(field).iter().enumerate() {
            rules::check_named(rule, &path.child(field).index(index), errors);
        }
    }
}

fn check_variable(variable: &Value, compiler: &mut Compiler, path: &Path, errors: &mut Errors) {
    let (name, at) = (variable.text("name"), path.child("name"));
    if name.trim().is_empty() {
        errors.required(&at, "name is not specified");
    } else if !is_identifier(name) {
        errors.invalid(&at, name, "must be a valid CEL identifier");
    }
    let (text, at) = (variable.text("expression"), path.child("expression"));
    if text.trim().is_empty() {
        errors.required(&at, "expression is not specified");
    } else if let Err(why) = compiler.declare(name, text) {
        errors.invalid(&at, text, &why);
    }
}

fn is_identifier(name: &str) -> bool {
    let first = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    first && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) && !NO_NAMES.contains(&name)
}

fn check_validation(validation: &Value, compiler: &Compiler, path: &Path, errors: &mut Errors) {
    check_expression(
        (validation.text("expression"), Yields::Truth),
        compiler,
        &path.child("expression"),
        errors,
    );
    for field in ["messageExpression", "message"] {
        let text = validation.text(field);
        if !text.is_empty() && text.trim().is_empty() {
            errors.invalid(&path.child(field), text, "must be non-empty if specified");
        } else if field == "messageExpression" && !text.is_empty() {
            check_expression((text, Yields::Message), compiler, &path.child(field), errors);
        }
    }
    let message = validation.text("message");
    if message.trim().contains(['\n', '\r']) {
        errors.invalid(&path.child("message"), message, "must not contain line breaks");
    }
    if let Some(reason) = validation.field("reason").and_then(Value::as_str) {
        errors.one_of(reason, &path.child("reason"), REASONS);
    }
}

fn check_annotations(
    (policy, annotations): (&str, &[Value]),
    compiler: &Compiler,
    path: &Path,
    errors: &mut Errors,
) {
    if annotations.len() > MAX_ANNOTATIONS {
        let shown = Shown::from(&Value::Array(annotations.to_vec()));
        errors.invalid(path, shown, &format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations"));
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(index), annotation.text("key"));
        if policy.is_empty() {
            errors.invalid(&path.child("key"), key, "requires metadata.name be non-empty");
        } else {
            errors.qualified(&format!("{policy}/{key}"), &path.child("key"));
        }
        let (expression, at) = (annotation.text("valueExpression").trim(), path.child("valueExpression"));
        if expression.is_empty() {
            errors.required(&at, "valueExpression is not specified");
        } else if expression.len() > MAX_ANNOTATION {
            errors.required(&at, &format!("must not exceed {MAX_ANNOTATION} bytes in length"));
        } else if let Err(why) = compiler.compile(expression, Yields::Annotation) {
            errors.invalid(&at, annotation.text("valueExpression"), &why);
        }
        if annotations[..index].iter().any(|other| other.text("key") == key) {
            errors.duplicate(&path.child("key"), key);
        }
    }
}

/// The rules of a MutatingAdmissionPolicy.
pub(crate) fn check_mutating(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = object.field("spec").unwrap_or(&empty);
    let compiler = check_common(spec, &path, errors);
    let mutations = spec.items("mutations");
    if mutations.is_empty() {
        errors.required(&path.child("mutations"), "mutations must contain at least one item");
    }
    for (index, mutation) in mutations.iter().enumerate() {
        check_mutation(mutation, &compiler, &path.child("mutations").index(index), errors);
    }
    let policy = spec.text("reinvocationPolicy");
    if policy.is_empty() {
        errors.required(&path.child("reinvocationPolicy"), "");
    } else {
        errors.one_of(policy, &path.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
    }
}

fn check_mutation(mutation: &Value, compiler: &Compiler, path: &Path, errors: &mut Errors) {
    let kind = mutation.text("patchType");
    let (own, other, yields) = match kind {
        "" => {
            errors.required(&path.child("patchType"), "");
            return;
        }
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Yields::Configuration),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Yields::Patches),
        kind => {
            errors.unsupported(&path.child("patchType"), kind, &["ApplyConfiguration", "JSONPatch"]);
            return;
        }
    };
    match mutation.field(own) {
        None => {
            errors.required(&path.child(own), &format!("must be specified when patchType is {kind}"));
        }
        Some(patch) => {
            let at = path.child(own).child("expression");
            check_expression((patch.text("expression"), yields), compiler, &at, errors);
        }
    }
    if mutation.has(other) {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.invalid(&path.child(other), Shown::raw("{}"), &detail);
    }
}

/// The rules of the status of a ValidatingAdmissionPolicy.
pub(crate) fn check_status(object: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let warnings = object.items("status.typeChecking.expressionWarnings");
    for (index, warning) in warnings.iter().enumerate() {
        let path = path.child("typeChecking").child("expressionWarnings").index(index);
        errors.some_text(warning.text("warning"), &path.child("warning"));
        errors.some_text(warning.text("fieldRef").trim(), &path.child("fieldRef"));
    }
    crate::validation::conditions::check(
        object.items("status.conditions"),
        &path.child("conditions"),
        errors,
    );
}

/// The rules of a ValidatingAdmissionPolicyBinding.
pub(crate) fn check_validating_binding(object: &Value, errors: &mut Errors) {
    check_mutating_binding(object, errors);
    let (actions, path) = (texts(object, "spec.validationActions"), Path::new("spec.validationActions"));
    for (index, action) in actions.iter().enumerate() {
        errors.one_of(action, &path.index(index), ACTIONS);
        if actions[..index].contains(action) {
            errors.duplicate(&path.index(index), *action);
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.invalid(&path, show_list(object, "spec.validationActions"), detail);
    }
    if actions.is_empty() {
        errors.required(&path, "at least one validation action is required");
    }
}

/// The rules of a MutatingAdmissionPolicyBinding.
pub(crate) fn check_mutating_binding(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let policy = object.text("spec.policyName");
    if policy.is_empty() {
        errors.required(&path.child("policyName"), "");
    } else {
        errors.subdomain(policy, &path.child("policyName"));
    }
    if let Some(reference) = object.field("spec.paramRef") {
        check_param_ref(reference, &path.child("paramRef"), errors);
    }
    if let Some(matched) = object.field("spec.matchResources") {
        check_matched(matched, &path.child("matchResources"), errors);
    }
}

fn check_param_ref(reference: &Value, path: &Path, errors: &mut Errors) {
    let (name, selector) = (reference.text("name"), reference.field("selector"));
    let both = "name and selector are mutually exclusive";
    if !name.is_empty() {
        errors.check(meta::path_segment(name), name, &path.child("name"));
        if selector.is_some() {
            errors.forbidden(&path.child("name"), both);
        }
    }
    if let Some(selector) = selector {
        check_label_selector(selector, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.forbidden(&path.child("selector"), both);
        }
    }
    if name.is_empty() && selector.is_none() {
        errors.required(path, "one of name or selector must be specified");
    }
    let (action, at) = (reference.text("parameterNotFoundAction"), path.child("parameterNotFoundAction"));
    match action {
        "" => errors.required(&at, ""),
        action => errors.one_of(action, &at, &["Deny", "Allow"]),
    }
}
