//! Rules of webhook configurations.

use wherry_api::names;
use wherry_schema::Value;

use super::{FAILURE_POLICIES, MATCH_POLICIES, rules};
use crate::object::Fields;
use crate::validation::checks::{show_list, texts};
use crate::validation::template::check_label_selector;
use crate::validation::{Errors, Path, webhook};

/// Versions of reviews that a webhook is asked in.
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];

/// What webhooks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhooks {
    /// Change objects.
    Mutating,
    /// Check objects.
    Validating,
}

/// The rules of a configuration.
pub(crate) fn check(object: &Value, webhooks: Webhooks, errors: &mut Errors) {
    let hooks = object.items("webhooks");
    for (index, hook) in hooks.iter().enumerate() {
        let (path, name) = (Path::new("webhooks").index(index), hook.text("name"));
        check_name(name, &path.child("name"), errors);
        check_hook(hook, webhooks, &path, errors);
        check_versions(hook, &path.child("admissionReviewVersions"), errors);
        if !name.is_empty() && hooks[..index].iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
    }
}

/// A name of at least three labels.
fn check_name(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    } else if names::dns1123_subdomain(name).is_err() {
        errors.subdomain(name, path);
    } else if name.split('.').count() < 3 {
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

fn check_hook(hook: &Value, webhooks: Webhooks, path: &Path, errors: &mut Errors) {
    for (index, rule) in hook.items("rules").iter().enumerate() {
        rules::check(rule, &path.child("rules").index(index), errors);
    }
    let text = |field: &str| hook.field(field).and_then(Value::as_str);
    for (field, supported) in [("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)] {
        if let Some(policy) = text(field) {
            errors.one_of(policy, &path.child(field), supported);
        }
    }
    let effects = path.child("sideEffects");
    match text("sideEffects") {
        None => errors.required(&effects, "must specify one of None, NoneOnDryRun"),
        Some(effect) => errors.one_of(effect, &effects, SIDE_EFFECTS),
    }
    if let Some(seconds) = hook.int("timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.invalid(&path.child("timeoutSeconds"), seconds, detail);
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = hook.field(field) {
            check_label_selector(selector, &path.child(field), errors);
        }
    }
    if let (Webhooks::Mutating, Some(policy)) = (webhooks, text("reinvocationPolicy")) {
        errors.one_of(policy, &path.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
    }
    webhook::check_client(hook.field("clientConfig"), &path.child("clientConfig"), errors);
    rules::check_conditions(hook.items("matchConditions"), false, &path.child("matchConditions"), errors);
}

fn check_versions(hook: &Value, path: &Path, errors: &mut Errors) {
    let versions = texts(hook, "admissionReviewVersions");
    if versions.is_empty() {
        errors.required(path, "must specify one of v1, v1beta1");
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.invalid(&path.index(index), *version, "duplicate version");
        } else {
            errors.check(names::dns1035_label(version), version, &path.index(index));
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        let shown = show_list(hook, "admissionReviewVersions");
        errors.invalid(path, shown, "must include at least one of v1, v1beta1");
    }
}
