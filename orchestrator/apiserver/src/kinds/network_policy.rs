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

    fn warnings(&self, object: &Value) -> Vec<String> {
        network_policy::warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let selector = table::selector(object, "spec.podSelector");
        vec![table::name(object), selector.into(), table::age(object, now)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::told;
    use super::*;

    #[test]
    fn ranges_of_peers_are_named_in_one_way() {
        for (cidr, refused, warned) in [
            ("10.0.0.0/8", "", 0),
            ("2001:DB8::/32", "", 1),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length", 1),
            ("010.0.0.0/8", "must not have leading 0s in IP", 1),
        ] {
            let spec = json!({ "podSelector": {}, "egress": [{ "to": [{ "ipBlock": { "cidr": cidr } }] }] });
            let resource = "networkpolicies.networking.k8s.io";
            let text = told::of_new(resource, json!({ "spec": spec }));
            assert!(text.ends_with(refused) && text.is_empty() == refused.is_empty(), "{cidr}: {text}");
            let object = told::object(resource, json!({ "spec": spec }));
            assert_eq!(NetworkPolicy.warnings(&object).len(), warned, "{cidr}");
        }
    }
}
