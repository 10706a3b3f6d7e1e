//! Event of the core group: the form both Event APIs are stored in.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, Path};

/// The rules of core Events.
pub(crate) struct Event;

/// The columns of both Event APIs.
pub(super) static COLUMNS: &[Column] = &[
    Column::of("Last Seen", "string", "core.v1.Event.lastTimestamp"),
    Column::of("Type", "string", "core.v1.Event.type"),
    Column::of("Reason", "string", "core.v1.Event.reason"),
    Column::of("Object", "string", "core.v1.Event.involvedObject"),
    Column::of("Subobject", "string", "core.v1.ObjectReference.fieldPath").in_wide(),
    Column::of("Source", "string", "core.v1.Event.source").in_wide(),
    Column::of("Message", "string", "core.v1.Event.message"),
    Column::of("First Seen", "string", "core.v1.Event.firstTimestamp").in_wide(),
    Column::of("Count", "string", "core.v1.Event.count").in_wide(),
    table::NAME.in_wide(),
];

macro_rules! involved {
    ($($field:literal),*) => {
        &[
            $(Selectable {
                name: concat!("involvedObject.", $field),
                attribute: concat!("=involvedObject.", $field),
            },)*
            Selectable { name: "reason", attribute: "=reason" },
            Selectable { name: "reportingComponent", attribute: "=reportingComponent" },
            Selectable { name: "source", attribute: "=source" },
            Selectable { name: "type", attribute: "=type" },
        ]
    };
}

static FIELDS: &[Selectable] =
    involved!("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath");

impl Rules for Event {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn lazy(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let involved = object.text("involvedObject.namespace");
        let namespace = object::namespace(object);
        let cluster_scoped = involved.is_empty() && namespace == "default";
        if !cluster_scoped && involved != namespace {
            let path = Path::new("involvedObject.namespace");
            errors.invalid(&path, involved, "does not match event.namespace");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        row(object, now)
    }
}

/// The row of an Event in its stored form.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let first = first_set(object, &["firstTimestamp", "eventTime"]);
    let last =
        first_set(object, &["series.lastObservedTime", "lastTimestamp", "firstTimestamp", "eventTime"]);
    let count = object.int("series.count").or(object.int("count")).unwrap_or(0).max(1);
    let kind = object.text("involvedObject.kind").to_lowercase();
    let name = object.text("involvedObject.name");
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    vec![
        table::since(last, now).into(),
        object.text("type").into(),
        object.text("reason").into(),
        target.into(),
        object.text("involvedObject.fieldPath").into(),
        source(object).into(),
        object.text("message").trim().into(),
        table::since(first, now).into(),
        count.into(),
        table::name(object),
    ]
}

fn first_set<'a>(object: &'a Value, paths: &[&str]) -> &'a str {
    paths.iter().map(|p| object.text(p)).find(|t| !t.is_empty()).unwrap_or_default()
}

fn source(object: &Value) -> String {
    let component = first_set(object, &["source.component", "reportingComponent"]);
    let instance = first_set(object, &["source.host", "reportingInstance"]);
    if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") }
}
