//! Requests and limits.

use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::resource_names::{self, is_huge_page, is_native};
use crate::validation::values::{NEGATIVE, amount_of, amounts};
use crate::validation::{Errors, Path, names};

/// Says whether a resource may be asked for here.
type NameRule = fn(&str, &Path, &mut Errors);

/// The rules of a container's resources.
pub(super) fn check_container(resources: &Value, claims: &[&str], path: &Path, errors: &mut Errors) {
    check(resources, resource_names::check_container, path, errors);
    check_claims(resources.items("claims"), claims, &path.child("claims"), errors);
}

/// The rules of the resources of a Pod as a whole.
pub(super) fn check_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(resources) = spec.field("resources") else { return };
    if resources.has("claims") {
        errors.forbidden(&path.child("claims"), "claims cannot be set for Resources at pod-level");
    }
    check(resources, resource_names::check_pod_level, path, errors);
    let requests = resources.map("requests");
    for name in ["cpu", "memory"] {
        let Some(most) = amount_of(requests, name) else { continue };
        let containers = spec.items("containers").iter();
        let sum = containers
            .filter_map(|container| amount_of(container.field("resources")?.map("requests"), name))
            .fold(Quantity::default(), |sum, amount| sum + amount);
        if sum > most {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.invalid(&path.child("requests").key(name), most, &detail);
        }
    }
    let limits = resources.map("limits");
    for (index, container) in spec.items("containers").iter().enumerate() {
        let own = container.field("resources").and_then(|resources| resources.map("limits"));
        for (name, most) in amounts(limits) {
            if let Some(amount) = amount_of(own, name).filter(|amount| *amount > most) {
                let path = path.child("containers").index(index).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {most}");
                errors.invalid(&path, amount, &detail);
            }
        }
    }
}

/// The rules of what running a Pod costs besides its containers.
pub(crate) fn check_overhead(overhead: &Object, path: &Path, errors: &mut Errors) {
    let mut resources = Value::object();
    resources.put("limits", overhead.clone());
    check(&resources, resource_names::check_container, path, errors);
}

fn check(resources: &Value, rule: NameRule, path: &Path, errors: &mut Errors) {
    let (limits, requests) = (resources.map("limits"), resources.map("requests"));
    let (limit_path, request_path) = (path.child("limits"), path.child("requests"));
    for (name, amount) in amounts(limits) {
        check_one(name, amount, rule, &limit_path.key(name), errors);
    }
    for (name, amount) in amounts(requests) {
        check_one(name, amount, rule, &request_path.key(name), errors);
        let overcommit = is_native(name) && !is_huge_page(name);
        match amount_of(limits, name) {
            Some(limit) if !overcommit && amount != limit => {
                let detail = format!("must be equal to {name} limit of {limit}");
                errors.invalid(&request_path, amount, &detail);
            }
            Some(limit) if amount > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&request_path, amount, &detail);
            }
            None if !overcommit => {
                errors.required(&limit_path, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let named = || [limits, requests].into_iter().flatten().flat_map(Object::keys);
    let huge = named().any(|name| is_huge_page(name));
    if huge && !named().any(|name| matches!(name.as_str(), "cpu" | "memory")) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
}

fn check_one(name: &str, amount: Quantity, rule: NameRule, path: &Path, errors: &mut Errors) {
    rule(name, path, errors);
    check_amount(name, amount, path, errors);
    let page = name.strip_prefix("hugepages-").and_then(|size| size.parse::<Quantity>().ok());
    if let Some(page) = page.filter(|page| page.value() > 0)
        && amount.value() % page.value() != 0
    {
        errors.invalid(path, amount, &format!("{amount} is not positive integer multiple of {name}"));
    }
}

/// The rules of an amount of a resource.
pub(crate) fn check_amount(name: &str, amount: Quantity, path: &Path, errors: &mut Errors) {
    if amount.is_negative() {
        errors.invalid(path, amount, NEGATIVE);
    }
    if resource_names::is_counted(name) && amount.as_milli() % 1000 != 0 {
        errors.invalid(path, amount, "must be an integer");
    }
}

fn check_claims(claims: &[Value], known: &[&str], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, claim) in claims.iter().enumerate() {
        let (path, name, request) = (path.index(index), claim.text("name"), claim.text("request"));
        if name.is_empty() {
            errors.required(&path, "");
            continue;
        }
        let whole = seen.contains(&(name, ""));
        if !request.is_empty() && !whole {
            errors.problems(&path.child("request"), request, names::label(request));
        }
        if whole || (request.is_empty() && seen.iter().any(|(other, _)| *other == name)) {
            errors.duplicate(&path, name);
        } else if seen.contains(&(name, request)) {
            errors.duplicate(&path, format!("{name}/{request}").as_str());
        }
        seen.push((name, request));
        if !known.contains(&name) {
            let mut detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                detail.push_str(" which is empty");
            } else {
                let mut sorted = known.to_vec();
                sorted.sort_unstable();
                detail.push_str(": ");
                detail.push_str(&sorted.join(", "));
            }
            errors.not_found_in(&path, name, &detail);
        }
    }
}

/// The rules of how a container's resources are changed while it runs.
pub(super) fn check_resize_policy(container: &Value, restart: &str, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, policy) in container.items("resizePolicy").iter().enumerate() {
        let (name, action) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if seen.contains(&name) {
            errors.duplicate(&path.index(index), name);
        }
        seen.push(name);
        for (text, supported) in [(name, ["cpu", "memory"]), (action, ["NotRequired", "RestartContainer"])] {
            if text.is_empty() {
                errors.required(path, "");
            } else if !supported.contains(&text) {
                errors.unsupported(path, text, &supported);
            }
        }
        if restart == "Never" && action != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.invalid(path, action, detail);
        }
    }
}
