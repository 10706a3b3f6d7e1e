//! PriorityLevelConfiguration: how many requests of a level are served at once, and what happens to the rest.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, flowcontrol};

/// The rules of PriorityLevelConfigurations.
pub(crate) struct PriorityLevelConfiguration;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Type", "string", "flowcontrol.v1.PriorityLevelConfigurationSpec.type"),
    Column::of(
        "NominalConcurrencyShares",
        "string",
        "flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
    ),
    Column::of("Queues", "string", "flowcontrol.v1.QueuingConfiguration.queues"),
    Column::of("HandSize", "string", "flowcontrol.v1.QueuingConfiguration.handSize"),
    Column::of("QueueLengthLimit", "string", "flowcontrol.v1.QueuingConfiguration.queueLengthLimit"),
    table::AGE,
];

impl Rules for PriorityLevelConfiguration {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        flowcontrol::check_level(object, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        flowcontrol::check_conditions(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let number = |path: &str| object.int(path).map_or(Value::from("<none>"), Value::from);
        vec![
            table::name(object),
            object.text("spec.type").into(),
            number("spec.limited.nominalConcurrencyShares"),
            number("spec.limited.limitResponse.queuing.queues"),
            number("spec.limited.limitResponse.queuing.handSize"),
            number("spec.limited.limitResponse.queuing.queueLengthLimit"),
            table::age(object, now),
        ]
    }
}
