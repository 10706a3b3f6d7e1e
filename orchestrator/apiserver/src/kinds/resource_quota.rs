//! ResourceQuota: how much a namespace may have and ask for together.

use jiff::Timestamp;
use wherry_schema::{Object, Value};

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::pod::check_amount;
use crate::validation::values::amounts;
use crate::validation::{Errors, Path, Shown, internal, resource_names};

/// The rules of ResourceQuotas.
pub(crate) struct ResourceQuota;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Request",
        "string",
        "Request represents a minimum amount of cpu/memory that a container may consume.",
    ),
    Column::new(
        "Limit",
        "string",
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the \
         node.",
    ),
    table::AGE,
];

/// Scopes that a Pod is in or not, whatever the values.
const PLAIN: &[&str] =
    &["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"];
/// Scopes that exclude each other.
const OPPOSITES: &[[&str; 2]] = &[["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
/// Resources that Pods ask for.
const COMPUTE: &[&str] =
    &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods"];

impl Rules for ResourceQuota {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        check_amounts(object.map("spec.hard"), &Path::new("spec.hard"), errors);
        check_scopes(object, errors);
        check_selector(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let sorted = |quota: &Value| {
            let mut scopes: Vec<&str> = quota.items("spec.scopes").iter().filter_map(Value::as_str).collect();
            scopes.sort_unstable();
            scopes.join(",")
        };
        if sorted(object) != sorted(old) {
            let shown = Value::Array(object.items("spec.scopes").to_vec());
            errors.invalid(&Path::new("spec.scopes"), &shown, "field is immutable");
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        for list in ["hard", "used"] {
            let path = Path::new("status").child(list);
            check_amounts(object.field("status").and_then(|status| status.map(list)), &path, errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in amounts(object.map("status.hard")) {
            let used = object.map("status.used").and_then(|used| used.get(name)).and_then(Value::as_str);
            let cell = format!("{name}: {}/{hard}", used.unwrap_or("0"));
            if name.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
        }
        vec![
            table::name(object),
            requests.join(", ").into(),
            limits.join(", ").into(),
            table::age(object, now),
        ]
    }
}

fn check_amounts(list: Option<&Object>, path: &Path, errors: &mut Errors) {
    for (name, amount) in amounts(list) {
        let path = path.key(name);
        resource_names::check_quota(name, &path, errors);
        check_amount(name, amount, &path, errors);
    }
}

fn is_scope(scope: &str) -> bool {
    PLAIN.contains(&scope) || matches!(scope, "PriorityClass" | "VolumeAttributesClass")
}

/// Whether a quota of the scope can limit the resource. Of what others count it may be anything.
fn fits(scope: &str, resource: &str) -> bool {
    if !resource_names::is_quota(resource) {
        return true;
    }
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => !is_scope(scope) || COMPUTE.contains(&resource),
    }
}

/// The rules of one scope. `shown` is what upstream shows with all that it cannot limit.
fn check_scope(scope: &str, object: &Value, (path, shown): (&Path, &Shown), errors: &mut Errors) {
    let hard = object.map("spec.hard").into_iter().flat_map(Object::keys);
    for _ in hard.filter(|resource| !fits(scope, resource)) {
        errors.invalid(path, shown.clone(), "unsupported scope applied to resource");
    }
}

fn check_opposites(scopes: &[&str], object: &Value, path: &Path, errors: &mut Errors) {
    for _ in OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        let shown = object.field("spec.scopes").unwrap_or(&Value::Null);
        errors.invalid(path, shown, "conflicting scopes");
    }
}

fn check_scopes(object: &Value, errors: &mut Errors) {
    let scopes: Vec<&str> = object.items("spec.scopes").iter().filter_map(Value::as_str).collect();
    let path = Path::new("spec.scopes");
    let shown = Shown::from(&Value::from(scopes.clone()));
    for scope in &scopes {
        if !is_scope(scope) {
            errors.invalid(&path, shown.clone(), "unsupported scope");
        }
        check_scope(scope, object, (&path, &shown), errors);
    }
    check_opposites(&scopes, object, &path, errors);
}

fn check_selector(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec.scopeSelector.matchExpressions");
    let shown = internal::show("ScopeSelector", object.field("spec.scopeSelector"));
    let mut scopes: Vec<&str> = Vec::new();
    for expression in object.items("spec.scopeSelector.matchExpressions") {
        let (scope, operator) = (expression.text("scopeName"), expression.text("operator"));
        let values = expression.items("values");
        if !is_scope(scope) {
            errors.invalid(&path.child("scopeName"), scope, "unsupported scope");
        }
        check_scope(scope, object, (&path, &shown), errors);
        scopes.push(scope);
        if PLAIN.contains(&scope) && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        match operator {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let detail =
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    errors.required(&path.child("values"), detail);
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail =
                        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                    errors.invalid(&path.child("values"), &Value::Array(values.to_vec()), detail);
                }
            }
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
    }
    check_opposites(&scopes, object, &path, errors);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    #[rstest]
    #[case(json!({"scopes": ["BestEffort"], "hard": {"cpu": "1", "pods": "1", "example.com/x": "1"}}), "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource")]
    #[case(json!({"scopes": ["NotTerminating"], "hard": {"requests.storage": "1"}}), "spec.scopes: Invalid value: [\"NotTerminating\"]: unsupported scope applied to resource")]
    #[case(json!({"scopes": ["X"], "hard": {"cpu": "1"}}), "spec.scopes: Invalid value: [\"X\"]: unsupported scope")]
    #[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists"}]}, "hard": {"cpu": "1"}}), "spec.scopeSelector.matchExpressions: Invalid value: {\"MatchExpressions\":[{\"ScopeName\":\"BestEffort\",\"Operator\":\"Exists\",\"Values\":null}]}: unsupported scope applied to resource")]
    #[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists", "values": ["a"]}]}}), "spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")]
    fn scopes_limit_what_their_pods_have(#[case] spec: Value, #[case] told: &str) {
        assert_eq!(told::of_new("resourcequotas", json!({"spec": spec})), told);
    }

    #[test]
    fn the_scopes_stay_and_the_selector_need_not() {
        let quota = |spec: Value| json!({"spec": spec});
        let selector = json!({"matchExpressions": [{"scopeName": "Terminating", "operator": "Exists"}]});
        let (plain, selective) = (quota(json!({})), quota(json!({"scopeSelector": selector})));
        assert_eq!(told::of_change("resourcequotas", plain.clone(), selective), "");
        let scoped = quota(json!({"scopes": ["Terminating"]}));
        let told = "spec.scopes: Invalid value: [\"Terminating\"]: field is immutable";
        assert_eq!(told::of_change("resourcequotas", plain, scoped), told);
    }
}
