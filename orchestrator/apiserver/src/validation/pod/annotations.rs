//! Annotations of Pods that mean something to Kubernetes.

use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::{Errors, Path};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The rules of a Pod's annotations.
pub(crate) fn check(annotations: Option<&Object>, spec: &Value, path: &Path, errors: &mut Errors) {
    let get = |key: &str| annotations.and_then(|a| a.get(key)).and_then(Value::as_str);
    if let Some(value) = get(MIRROR).filter(|_| spec.text("nodeName").is_empty()) {
        errors.invalid(&path.key(MIRROR), value, "must set spec.nodeName if mirror pod annotation is set");
    }
    if let Some(cost) = get(DELETION_COST).filter(|cost| !is_cost(cost)) {
        errors.invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer");
    }
    let names: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| spec.items(list))
        .map(|container| container.text("name"))
        .collect();
    for (key, profile) in annotations.into_iter().flat_map(Object::iter) {
        let Some(container) = key.strip_prefix(APP_ARMOR) else { continue };
        let (path, profile) = (path.key(key), profile.as_str().unwrap_or_default());
        if !names.contains(&container) {
            errors.invalid(&path, container, "container not found");
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            errors.invalid(&path, profile, &format!("invalid AppArmor profile name: {profile:?}"));
        }
    }
}

/// A whole number without ornament.
fn is_cost(text: &str) -> bool {
    let plain = !text.starts_with('+') && (text == "0" || !text.trim_start_matches('-').starts_with('0'));
    plain && text.parse::<i32>().is_ok()
}
