//! Taints a Pod tolerates.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::values::choice;
use crate::validation::{Errors, Path, names};

/// The effects of taints.
pub(super) const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The rules of tolerations.
pub(crate) fn check(tolerations: &[Value], path: &Path, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        check_one(toleration, &path.index(index), errors);
    }
}

fn check_one(toleration: &Value, path: &Path, errors: &mut Errors) {
    let (key, operator, value) =
        (toleration.text("key"), toleration.text("operator"), toleration.text("value"));
    let effect = toleration.text("effect");
    if !key.is_empty() {
        errors.problems(&path.child("key"), key, names::qualified(key));
    } else if operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(&path.child("operator"), operator, detail);
    }
    if toleration.has("tolerationSeconds") && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(&path.child("effect"), effect, detail);
    }
    match operator {
        "Equal" | "" => {
            let problems = names::label_value(value);
            if !problems.is_empty() {
                errors.invalid(&path.child("operator"), value, &problems.join(";"));
            }
        }
        "Exists" => {
            if !value.is_empty() {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.invalid(&path.child("operator"), value, detail);
            }
        }
        other => errors.unsupported(&path.child("operator"), other, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        choice(toleration, "effect", EFFECTS, path, errors);
    }
}
