//! ComponentStatus: whether a part of the control plane works. Deprecated, but clients still ask.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};

/// The rules of ComponentStatuses.
pub(crate) struct ComponentStatus;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Status", "string", "Status of the component conditions"),
    Column::new("Message", "string", "Message of the component conditions"),
    Column::new("Error", "string", "Error of the component conditions"),
];

impl Rules for ComponentStatus {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let healthy = object.items("conditions").iter().find(|condition| condition.text("type") == "Healthy");
        let status = match healthy.map(|condition| condition.text("status")) {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        };
        let said = |field: &str| healthy.map(|condition| condition.text(field)).unwrap_or_default().into();
        vec![table::name(object), status.into(), said("message"), said("error")]
    }
}
