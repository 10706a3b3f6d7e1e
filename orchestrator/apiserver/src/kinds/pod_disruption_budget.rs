//! PodDisruptionBudget: how many of some Pods may be taken away at once.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::template::check_label_selector;
use crate::validation::values::{at_most_all, choice, int_or_percent, non_negative};
use crate::validation::{Errors, Path, internal};

/// The rules of PodDisruptionBudgets.
pub(crate) struct PodDisruptionBudget;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Min Available", "string", "The minimum number of pods that must be available."),
    Column::new("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
    Column::new(
        "Allowed Disruptions",
        "integer",
        "Calculated number of pods that may be disrupted at this time.",
    ),
    table::AGE,
];

impl Rules for PodDisruptionBudget {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (path, spec) = (Path::new("spec"), object.field("spec").unwrap_or(&Value::Null));
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            let shown = internal::show("DisruptionBudgetSpec", Some(spec));
            errors.invalid(&path, shown, "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            if let Some(amount) = spec.field(field) {
                int_or_percent(amount, &path.child(field), errors);
                at_most_all(amount, &path.child(field), errors);
            }
        }
        if let Some(selector) = spec.field("selector") {
            check_label_selector(selector, &path.child("selector"), errors);
        }
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        choice(spec, "unhealthyPodEvictionPolicy", &policies, &path, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let fields = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        non_negative(object.field("status").unwrap_or(&Value::Null), &fields, &Path::new("status"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let amount = |field: &str| match object.field(field) {
            None => "N/A".to_owned(),
            Some(value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
        vec![
            table::name(object),
            amount("spec.minAvailable").into(),
            amount("spec.maxUnavailable").into(),
            table::number(object, "status.disruptionsAllowed"),
            table::age(object, now),
        ]
    }
}
