//! How evenly the Pods of a group are spread.

use wherry_schema::Value;

use super::affinity::{check_label_keys, check_merged};
use crate::object::Fields;
use crate::validation::template::check_label_selector;
use crate::validation::values::choice;
use crate::validation::{Errors, Path};

/// The rules of `topologySpreadConstraints`.
pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    let constraints = spec.items("topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        check_one(constraint, &constraints[index + 1..], &path.index(index), errors);
    }
}

fn check_one(constraint: &Value, others: &[Value], path: &Path, errors: &mut Errors) {
    let skew = constraint.int("maxSkew").unwrap_or(0);
    if skew <= 0 {
        errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
    }
    let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        errors.unsupported(&path.child("whenUnsatisfiable"), action, &supported);
    }
    if others.iter().any(|o| o.text("topologyKey") == key && o.text("whenUnsatisfiable") == action) {
        let path = path.child("{topologyKey, whenUnsatisfiable}");
        errors.duplicate(&path, format!("{{{key}, {action}}}").as_str());
    }
    if let Some(domains) = constraint.int("minDomains") {
        let path = path.child("minDomains");
        if domains <= 0 {
            errors.invalid(&path, domains, "must be greater than zero");
        }
        if action != "DoNotSchedule" {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.invalid(&path, domains, &detail);
        }
    }
    for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        choice(constraint, field, &["Honor", "Ignore"], path, errors);
    }
    check_label_keys(constraint, "matchLabelKeys", path, errors);
    check_merged(constraint, &path.child("matchLabelKeys"), errors);
    if let Some(selector) = constraint.field("labelSelector") {
        check_label_selector(selector, &path.child("labelSelector"), errors);
    }
}
