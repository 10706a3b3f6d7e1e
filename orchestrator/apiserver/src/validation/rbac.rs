//! Rules of roles and their bindings.

use wherry_schema::Value;

use super::checks::show_list;
use super::internal;
use super::template::check_label_selector;
use super::{Errors, Path, Shown};
use crate::object::{self, Fields};

/// The API group of roles, and of the users and groups that bindings name.
const GROUP: &str = "rbac.authorization.k8s.io";

/// How far a role or a binding reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One namespace.
    Namespace,
    /// The cluster.
    Cluster,
}

/// The rules of a role's rules.
pub(crate) fn check_rules(object: &Value, scope: Scope, errors: &mut Errors) {
    for (index, rule) in object.items("rules").iter().enumerate() {
        check_rule(rule, scope, &Path::new("rules").index(index), errors);
    }
}

fn check_rule(rule: &Value, scope: Scope, path: &Path, errors: &mut Errors) {
    let none = |field: &str| rule.items(field).is_empty();
    if none("verbs") {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    if !none("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        let shown = || show_list(rule, "nonResourceURLs");
        if scope == Scope::Namespace {
            errors.invalid(&at, shown(), "namespaced rules cannot apply to non-resource URLs");
        }
        if !none("apiGroups") || !none("resources") || !none("resourceNames") {
            errors.invalid(
                &at,
                shown(),
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        return;
    }
    if none("apiGroups") {
        errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if none("resources") {
        errors.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

/// The rules of a ClusterRole that is the sum of others.
pub(crate) fn check_aggregation(object: &Value, errors: &mut Errors) {
    let Some(rule) = object.field("aggregationRule") else { return };
    let path = Path::new("aggregationRule.clusterRoleSelectors");
    let selectors = rule.items("clusterRoleSelectors");
    if selectors.is_empty() {
        errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index);
        let mut found = Errors::default();
        check_label_selector(selector, &path, &mut found);
        let broken = !found.is_empty();
        errors.append(found);
        if broken {
            errors.invalid(&path, Shown::raw("null"), "invalid label selector.");
        }
    }
}

/// The rules of a binding.
pub(crate) fn check_binding(object: &Value, scope: Scope, errors: &mut Errors) {
    let path = Path::new("roleRef");
    errors.one_of(object.text("roleRef.apiGroup"), &path.child("apiGroup"), &[GROUP]);
    let kinds: &[&str] = if scope == Scope::Namespace { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    errors.one_of(object.text("roleRef.kind"), &path.child("kind"), kinds);
    errors.path_segment(object.text("roleRef.name"), &path.child("name"));
    for (index, subject) in object.items("subjects").iter().enumerate() {
        check_subject(subject, scope, &Path::new("subjects").index(index), errors);
    }
}

fn check_subject(subject: &Value, scope: Scope, path: &Path, errors: &mut Errors) {
    let (kind, name, group) = (subject.text("kind"), subject.text("name"), subject.text("apiGroup"));
    errors.some_text(name, &path.child("name"));
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.subdomain(name, &path.child("name"));
            }
            errors.one_of(group, &path.child("apiGroup"), &[""]);
            if scope == Scope::Cluster {
                errors.some_text(subject.text("namespace"), &path.child("namespace"));
            }
        }
        "User" | "Group" => errors.one_of(group, &path.child("apiGroup"), &[GROUP]),
        other => errors.unsupported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

/// A binding stays with its role.
pub(crate) fn check_same_role(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "roleRef") {
        let shown = internal::show("RoleRef", object.field("roleRef"));
        errors.invalid(&Path::new("roleRef"), shown, "cannot change roleRef");
    }
}
