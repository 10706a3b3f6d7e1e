//! Requests and limits.

use wherry_api::names;
use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::super::{Errors, Path};
use crate::object::Fields;

const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// The rules of a container's or a Pod's resources.
pub(super) fn check(resources: Option<&Value>, path: &Path, errors: &mut Errors) {
    let Some(resources) = resources else { return };
    let limits = resources.map("limits");
    check_list(limits, &path.child("limits"), errors);
    let requests = resources.map("requests");
    check_list(requests, &path.child("requests"), errors);
    for (name, request) in requests.into_iter().flat_map(Object::iter) {
        let limit = limits.and_then(|l| l.get(name));
        check_pair(name, request, limit, path, errors);
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

fn check_pair(name: &str, request: &Value, limit: Option<&Value>, path: &Path, errors: &mut Errors) {
    let overcommit = STANDARD.contains(&name);
    match (quantity(request), limit.map(quantity)) {
        (Some(request), Some(Some(limit))) if overcommit && request > limit => {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.invalid(&path.child("requests"), &request.to_string(), &detail);
        }
        (Some(request), Some(Some(limit))) if !overcommit && request != limit => {
            let detail = format!("must be equal to {name} limit of {limit}");
            errors.invalid(&path.child("requests"), &request.to_string(), &detail);
        }
        (_, None) if !overcommit => {
            errors.required(&path.child("limits"), "Limit must be set for non overcommitable resources");
        }
        _ => {}
    }
}

fn check_list(list: Option<&Object>, path: &Path, errors: &mut Errors) {
    for (name, amount) in list.into_iter().flat_map(Object::iter) {
        let path = path.key(name);
        check_name(name, &path, errors);
        if let Some(amount) = quantity(amount).filter(Quantity::is_negative) {
            errors.invalid(&path, &amount.to_string(), "must be greater than or equal to 0");
        }
    }
}

fn check_name(name: &str, path: &Path, errors: &mut Errors) {
    if let Err(reason) = names::label_key(name) {
        errors.invalid(path, name, &reason);
    } else if name.contains('/') || STANDARD.contains(&name) || name.starts_with("hugepages-") {
        return;
    } else {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    if !name.contains('/') {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}
