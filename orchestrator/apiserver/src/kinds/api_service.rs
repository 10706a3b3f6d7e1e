//! APIService: which server answers a version of a group. Those of this server are always available; others are
//! asked by `aggregate::availability`.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, apiregistration, meta};

/// The rules of APIServices.
pub(crate) struct ApiService;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Service", "string", "The reference to the service that hosts this API endpoint."),
    Column::new("Available", "string", "Whether this service is available."),
    table::AGE,
];

impl Rules for ApiService {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        meta::path_segment(name)
    }

    fn prepare_create(&self, object: &mut Value) {
        let now = object.text("metadata.creationTimestamp").to_owned();
        object.put("status", Value::object());
        if !object.has("spec.service") {
            object.put("status.conditions", vec![local(&now)]);
        }
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        apiregistration::check(object, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        apiregistration::check_status(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let service = object.field("spec.service").map_or("Local".to_owned(), |service| {
            format!("{}/{}", service.text("namespace"), service.text("name"))
        });
        let condition = object.items("status.conditions").iter().find(|c| c.text("type") == "Available");
        let available = match condition.map(|c| (c.text("status"), c.text("reason"))) {
            None => "Unknown".to_owned(),
            Some(("True", _) | (_, "")) => condition.map_or("", |c| c.text("status")).to_owned(),
            Some((status, reason)) => format!("{status} ({reason})"),
        };
        vec![table::name(object), service.into(), available.into(), table::age(object, now)]
    }
}

/// The condition of what this server answers itself.
fn local(now: &str) -> Value {
    let mut condition = Value::object();
    for (field, text) in [
        ("type", "Available"),
        ("status", "True"),
        ("lastTransitionTime", now),
        ("reason", "Local"),
        ("message", "Local APIServices are always available"),
    ] {
        condition.put(field, text);
    }
    condition
}
