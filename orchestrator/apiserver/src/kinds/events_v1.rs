//! Event of `events.k8s.io`: the same objects under other names.
//!
//! The [`Conversion`] renames the fields; nothing is lost either way.

use jiff::Timestamp;
use wherry_schema::Value;
use wherry_store::Durability;

use super::{Conversion, Rules, Selectable, event};
use crate::object::{self, Fields};
use crate::table::Column;
use crate::validation::values::IMMUTABLE;
use crate::validation::{Errors, Path, Shown, internal, meta};

/// The rules of `events.k8s.io` Events, on their stored form.
pub(crate) struct EventsV1;

/// Names of fields here and in the stored form.
static RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

static FIELDS: &[Selectable] = &[
    Selectable { name: "regarding.kind", attribute: "=involvedObject.kind" },
    Selectable { name: "regarding.namespace", attribute: "=involvedObject.namespace" },
    Selectable { name: "regarding.name", attribute: "=involvedObject.name" },
    Selectable { name: "regarding.uid", attribute: "=involvedObject.uid" },
    Selectable { name: "regarding.apiVersion", attribute: "=involvedObject.apiVersion" },
    Selectable { name: "regarding.resourceVersion", attribute: "=involvedObject.resourceVersion" },
    Selectable { name: "regarding.fieldPath", attribute: "=involvedObject.fieldPath" },
    Selectable { name: "reason", attribute: "=reason" },
    Selectable { name: "reportingController", attribute: "=reportingComponent" },
    Selectable { name: "type", attribute: "=type" },
];

/// What an update leaves as it is, in the order upstream looks at it.
const FIXED: &[&str] = &[
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

impl Conversion for EventsV1 {
    fn to_stored(&self, object: &mut Value) {
        rename(object, RENAMED.iter().map(|&(here, stored)| (here, stored)));
        object.put("apiVersion", "v1");
    }

    fn to_served(&self, object: &mut Value) {
        rename(object, RENAMED.iter().map(|&(here, stored)| (stored, here)));
        object.put("apiVersion", "events.k8s.io/v1");
    }
}

fn rename(object: &mut Value, names: impl Iterator<Item = (&'static str, &'static str)>) {
    for (from, to) in names {
        if let Some(value) = object.take(from) {
            object.put(to, value);
        }
    }
}

impl Rules for EventsV1 {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn conversion(&self) -> Option<&'static dyn Conversion> {
        Some(&EventsV1)
    }

    fn durability(&self) -> Durability {
        Durability::Lazy
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        event::check(object, "reportingController", errors);
        check_series(object, errors);
        if object.text("eventTime").is_empty() {
            errors.required(&Path::new("eventTime"), "");
        }
        let kind = object.text("type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.invalid(&Path::new("type"), "", &format!("has invalid value: {kind}"));
        }
        let source = ["source.component", "source.host"].iter().any(|part| !object.text(part).is_empty());
        let counted = object.int("count").unwrap_or(0) != 0;
        for (field, set) in [
            ("firstTimestamp", object.has("firstTimestamp")),
            ("lastTimestamp", object.has("lastTimestamp")),
            ("count", counted),
            ("source", source),
        ] {
            if set {
                errors.invalid(&Path::new(field), "", "needs to be unset");
            }
        }
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        event::check(object, "reportingController", errors);
        meta::check_update(object, old, errors);
        if !object::same(object, old, "series") {
            check_series(object, errors);
        }
        for field in FIXED.iter().filter(|field| !object::same(object, old, field)) {
            let shown = match *field {
                "involvedObject" | "related" => internal::show("ObjectReference", object.field(field)),
                "source" => internal::show("EventSource", object.field(field)),
                "count" => object.int(field).unwrap_or(0).into(),
                _ if field.ends_with("Time") || field.ends_with("Timestamp") => {
                    object.field(field).map_or(Shown::raw("null"), Shown::from)
                }
                _ => object.text(field).into(),
            };
            let told = if *field == "reportingComponent" { "reportingController" } else { field };
            errors.invalid(&Path::new(told), shown, IMMUTABLE);
        }
    }

    fn columns(&self) -> &'static [Column] {
        event::COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        event::row(object, now)
    }
}

/// The rules of an event that goes on.
fn check_series(object: &Value, errors: &mut Errors) {
    if !object.has("series") {
        return;
    }
    if object.int("series.count").unwrap_or(0) < 2 {
        errors.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    if !object.has("series.lastObservedTime") {
        errors.required(&Path::new("series.lastObservedTime"), "");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::kinds::told;

    #[rstest]
    #[case(json!({"series": {"count": 1}}), "[series.count: Invalid value: \"\": should be at least 2, series.lastObservedTime: Required value]")]
    #[case(json!({"deprecatedCount": 1, "deprecatedSource": {"host": "h"}}), "[count: Invalid value: \"\": needs to be unset, source: Invalid value: \"\": needs to be unset]")]
    #[case(json!({"regarding": {"kind": "Pod", "namespace": "elsewhere"}}), "")]
    #[case(json!({"action": ""}), "action: Required value")]
    fn new_events(#[case] changes: serde_json::Value, #[case] told: &str) {
        assert_eq!(told::of_new("events.events.k8s.io", event(&changes)), told);
    }

    #[rstest]
    #[case(json!({"note": "n"}), "message: Invalid value: \"n\": field is immutable")]
    #[case(json!({"series": {"count": 2, "lastObservedTime": "2024-01-01T00:00:01.000000Z"}}), "")]
    fn changes_of_events(#[case] changes: serde_json::Value, #[case] told: &str) {
        let told_of = told::of_change("events.events.k8s.io", event(&json!({})), event(&changes));
        assert_eq!(told_of, told);
    }

    fn event(changes: &serde_json::Value) -> serde_json::Value {
        let mut event = json!({
            "metadata": {"name": "e", "namespace": "n"}, "eventTime": "2024-01-01T00:00:00.000000Z",
            "regarding": {"kind": "Pod", "namespace": "n"}, "reason": "R", "action": "A", "type": "Normal",
            "reportingController": "example.com/c", "reportingInstance": "i",
        });
        for (field, value) in changes.as_object().unwrap() {
            event[field] = value.clone();
        }
        event
    }

    #[test]
    fn an_event_survives_the_way_to_the_store_and_back() {
        let json = br#"{"action":"A","apiVersion":"events.k8s.io/v1","deprecatedCount":2,"kind":"Event","note":"n","regarding":{"kind":"Pod"},"reportingController":"c"}"#;
        let original = Value::from_json(json).unwrap();
        let mut object = original.clone();
        EventsV1.to_stored(&mut object);
        assert_eq!(object.text("message"), "n");
        assert_eq!(object.text("involvedObject.kind"), "Pod");
        assert_eq!(object.text("apiVersion"), "v1");
        EventsV1.to_served(&mut object);
        assert_eq!(object, original);
    }
}
