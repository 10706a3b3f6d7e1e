//! PriorityClass: a number that orders Pods when there is not room for all.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, Path, Shown};

/// The rules of PriorityClasses.
pub(crate) struct PriorityClass;

/// The highest value a class that is not the system's may have.
pub(crate) const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

/// The classes of the system itself: name and value.
pub(crate) const SYSTEM: &[(&str, i64)] =
    &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Value", "integer", "scheduling.v1.PriorityClass.value"),
    Column::of("Global-Default", "boolean", "scheduling.v1.PriorityClass.globalDefault"),
    table::AGE,
    Column::of("PreemptionPolicy", "string", "scheduling.v1.PriorityClass.preemptionPolicy"),
];

impl Rules for PriorityClass {
    fn generation(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let name = object::name(object);
        let value = object.int("value").unwrap_or(0);
        let known = SYSTEM.iter().any(|(n, v)| *n == name && *v == value);
        if name.starts_with("system-") && !known {
            errors.forbidden(
                &Path::new("metadata.name"),
                &format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {name} is \
                     not a known system priority class"
                ),
            );
        } else if value > HIGHEST_USER_PRIORITY && !known {
            errors.forbidden(
                &Path::new("value"),
                &format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"),
            );
        }
        let policy = object.text("preemptionPolicy");
        if !matches!(policy, "" | "Never" | "PreemptLowerPriority") {
            let path = Path::new("preemptionPolicy");
            errors.unsupported(&path, policy, &["PreemptLowerPriority", "Never"]);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "value") {
            errors.forbidden(&Path::new("value"), "may not be changed in an update.");
        }
        if !object::same(object, old, "preemptionPolicy") {
            let shown = Shown::from(object.text("preemptionPolicy"));
            errors.invalid(&Path::new("preemptionPolicy"), shown, "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            table::name(object),
            object.int("value").unwrap_or(0).into(),
            object.flag("globalDefault").into(),
            table::age(object, now),
            object.text("preemptionPolicy").into(),
        ]
    }
}
