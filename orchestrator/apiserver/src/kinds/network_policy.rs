//! NetworkPolicy: which connections Pods accept and open.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};
use crate::validation::{Errors, network_policy};

/// The rules of NetworkPolicies.
pub(crate) struct NetworkPolicy;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Pod-Selector", "string", "networking.v1.NetworkPolicySpec.podSelector"),
    table::AGE,
];

impl Rules for NetworkPolicy {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        network_policy::check(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let selector = table::selector(object, "spec.podSelector");
        vec![table::name(object), selector.into(), table::age(object, now)]
    }
}
