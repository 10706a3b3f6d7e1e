//! ClusterRoleBinding: who has a role in the cluster.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, role_binding};
use crate::table::{self, Column};
use crate::validation::rbac::{self, Scope};
use crate::validation::{Errors, meta};

/// The rules of ClusterRoleBindings.
pub(crate) struct ClusterRoleBinding;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Role",
        "string",
        "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the \
         Authorizer must return an error.",
    ),
    table::AGE,
    Column::new("Users", "string", "Users in the clusterRoleBinding").in_wide(),
    Column::new("Groups", "string", "Groups in the clusterRoleBinding").in_wide(),
    Column::new("ServiceAccounts", "string", "ServiceAccounts in the clusterRoleBinding").in_wide(),
];

impl Rules for ClusterRoleBinding {
    fn create_on_update(&self) -> bool {
        true
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        meta::path_segment(name)
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        rbac::check_binding(object, Scope::Cluster, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        rbac::check_same_role(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        role_binding::row(object, now)
    }
}
