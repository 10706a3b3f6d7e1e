//! Nobody hands out what they may not do themselves.
//!
//! A role may say only what its author may do in its reach, unless the author may `escalate` roles; a binding may be
//! only to a role of which the same holds, unless its author may `bind` it.

use wherry_schema::Value;

use crate::auth::{MASTERS, UserInfo};
use crate::authorize::cover::{described, uncovered};
use crate::authorize::{Attributes, Granted, Object, PolicyRule, Resource, aggregate};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::verbs::Cx;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a role or a binding that gives more than its author has. There is no `old` when the object is new.
pub(super) fn check(cx: &Cx<'_>, object: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let Some(user) = cx.user.filter(|user| !user.groups.iter().any(|group| group == MASTERS)) else {
        return Ok(());
    };
    if old.is_some_and(|old| differs_for_collector_only(object, old)) {
        return Ok(());
    }
    match cx.kind.kind {
        "Role" | "ClusterRole" => role(cx, user, object, old),
        _ => binding(cx, user, object),
    }
}

/// Whether only those fields change that let an object be deleted in the end.
fn differs_for_collector_only(object: &Value, old: &Value) -> bool {
    let bare = |of: &Value| {
        let mut of = of.clone();
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            of.take(&format!("metadata.{field}"));
        }
        of
    };
    bare(object) == bare(old)
}

fn may(cx: &Cx<'_>, user: &UserInfo, verb: &str, plural: &str, name: &str) -> bool {
    let object = Object::Resource(Resource {
        group: GROUP,
        plural,
        name,
        namespace: cx.namespace,
        ..Resource::default()
    });
    cx.state.authorizer.decide_now(&Attributes { user, verb, object }).allowed
}

fn role(cx: &Cx<'_>, user: &UserInfo, role: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let name = object::name(role);
    if may(cx, user, "escalate", cx.kind.plural, old.map_or("", |_| name)) {
        return Ok(());
    }
    covered(cx, user, role, &PolicyRule::all_of(role))?;
    let is_sum = |role: &Value| role.has("aggregationRule");
    if is_sum(role) || old.is_some_and(is_sum) {
        let everything = [PolicyRule::every_resource(), PolicyRule::every_path()];
        let text = "must have cluster-admin privileges to use the aggregationRule";
        covered(cx, user, role, &everything).map_err(|_| Failure::forbidden(cx.kind, name, text))?;
    }
    Ok(())
}

fn binding(cx: &Cx<'_>, user: &UserInfo, binding: &Value) -> Result<(), Failure> {
    let (kind, name) = (binding.text("roleRef.kind"), binding.text("roleRef.name"));
    let plural = if kind == "Role" { "roles" } else { "clusterroles" };
    if may(cx, user, "bind", plural, name) {
        return Ok(());
    }
    let Some(rbac) = cx.state.authorizer.rbac() else { return Ok(()) };
    let Some(rules) = rbac.index().rules_of_role(kind, cx.namespace, name) else {
        let kind = wherry_api::kinds::by_plural(GROUP, "v1", plural);
        let kind = kind.expect("the kinds table has roles");
        return Err(Failure::NotFound { kind, name: name.to_owned() });
    };
    covered(cx, user, binding, &rules)
}

/// Refuses rules that the user's own do not cover.
fn covered(cx: &Cx<'_>, user: &UserInfo, object: &Value, wanted: &[PolicyRule]) -> Result<(), Failure> {
    let Some(rbac) = cx.state.authorizer.rbac() else { return Ok(()) };
    let Granted { rules, errors } = rbac.index().granted(user, cx.namespace);
    let missing = uncovered(&rules, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let unresolved = match errors.as_slice() {
        [] => String::new(),
        _ => format!("; resolution errors: [{}]", aggregate(errors)),
    };
    let text = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}{unresolved}",
        user.name,
        groups.join(" "),
        described(missing)
    );
    Err(Failure::forbidden(cx.kind, object::called(object), &text))
}
