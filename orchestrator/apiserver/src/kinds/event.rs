//! Event of the core group: the form both Event APIs are stored in.

use jiff::Timestamp;
use wherry_schema::Value;
use wherry_store::Durability;

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

    fn durability(&self) -> Durability {
        Durability::Lazy
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        check(object, "reportingComponent", errors);
    }

    fn check_update(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
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

/// The rules that Events keep by either name. `controller` is how this one calls who reports it.
pub(super) fn check(object: &Value, controller: &str, errors: &mut Errors) {
    let (involved, namespace) = (object.text("involvedObject.namespace"), object::namespace(object));
    let timed = !object.text("eventTime").is_empty();
    let elsewhere = match (involved.is_empty(), timed) {
        (true, true) => !matches!(namespace, "default" | "kube-system"),
        (true, false) => namespace != "default",
        (false, timed) => !timed && involved != namespace,
    };
    if elsewhere {
        let path = Path::new("involvedObject.namespace");
        errors.invalid(&path, involved, "does not match event.namespace");
    }
    if !timed {
        return;
    }
    let (reporter, path) = (object.text("reportingComponent"), Path::new(controller));
    if reporter.is_empty() {
        errors.required(&path, "");
    }
    errors.qualified(reporter, &path);
    for field in ["reportingInstance", "action", "reason"] {
        let (text, path) = (object.text(field), Path::new(field));
        if text.is_empty() {
            errors.required(&path, "");
        } else if text.len() > 128 {
            errors.invalid(&path, "", "can have at most 128 characters");
        }
    }
    if object.text("message").len() > 1024 {
        errors.invalid(&Path::new("message"), "", "can have at most 1024 characters");
    }
}

fn first_set<'a>(object: &'a Value, paths: &[&str]) -> &'a str {
    paths.iter().map(|p| object.text(p)).find(|t| !t.is_empty()).unwrap_or_default()
}

fn source(object: &Value) -> String {
    let component = first_set(object, &["source.component", "reportingComponent"]);
    let instance = first_set(object, &["source.host", "reportingInstance"]);
    if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") }
}
