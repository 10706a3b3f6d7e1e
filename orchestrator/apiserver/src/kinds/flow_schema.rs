//! FlowSchema: which priority level a request belongs to.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, flowcontrol};

/// The rules of FlowSchemas.
pub(crate) struct FlowSchema;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("PriorityLevel", "string", "flowcontrol.v1.PriorityLevelConfigurationReference.name"),
    Column::of("MatchingPrecedence", "string", "flowcontrol.v1.FlowSchemaSpec.matchingPrecedence"),
    Column::of("DistinguisherMethod", "string", "flowcontrol.v1.FlowSchemaSpec.distinguisherMethod"),
    table::AGE,
    Column::new("MissingPL", "string", "references a broken or non-existent PriorityLevelConfiguration"),
];

impl Rules for FlowSchema {
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
        flowcontrol::check_schema(object, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        flowcontrol::check_conditions(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let dangling = object.items("status.conditions").iter().find(|c| c.text("type") == "Dangling");
        vec![
            table::name(object),
            object.text("spec.priorityLevelConfiguration.name").into(),
            table::number(object, "spec.matchingPrecedence"),
            table::text_or(object, "spec.distinguisherMethod.type", "<none>"),
            table::age(object, now),
            dangling.map_or("?", |condition| condition.text("status")).into(),
        ]
    }
}
