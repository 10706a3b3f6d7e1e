//! RoleBinding: who has a role in a namespace.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::rbac::{self, Scope};
use crate::validation::{Errors, meta};

/// The rules of RoleBindings.
pub(crate) struct RoleBinding;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Role",
        "string",
        "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the \
         RoleRef cannot be resolved, the Authorizer must return an error.",
    ),
    table::AGE,
    Column::new("Users", "string", "Users in the roleBinding").in_wide(),
    Column::new("Groups", "string", "Groups in the roleBinding").in_wide(),
    Column::new("ServiceAccounts", "string", "ServiceAccounts in the roleBinding").in_wide(),
];

impl Rules for RoleBinding {
    fn create_on_update(&self) -> bool {
        true
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        meta::path_segment(name)
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        rbac::check_binding(object, Scope::Namespace, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        rbac::check_same_role(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        row(object, now)
    }
}

/// The row of a binding of either kind.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", object.text("roleRef.kind"), object.text("roleRef.name"));
    let subjects = |kind: &str| {
        let of_kind = object.items("subjects").iter().filter(|s| s.text("kind") == kind);
        let names: Vec<String> = of_kind.map(show_subject).collect();
        Value::from(names.join(", "))
    };
    vec![
        table::name(object),
        role.into(),
        table::age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

/// A service account is shown with its namespace if it has one.
fn show_subject(subject: &Value) -> String {
    match (subject.text("kind"), subject.text("namespace")) {
        ("ServiceAccount", namespace) if !namespace.is_empty() => {
            format!("{namespace}/{}", subject.text("name"))
        }
        _ => subject.text("name").to_owned(),
    }
}
