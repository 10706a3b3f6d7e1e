//! Event of `events.k8s.io`: the same objects under other names.
//!
//! The [`Conversion`] renames the fields; nothing is lost either way.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Conversion, Rules, Selectable, event};
use crate::object::Fields;
use crate::table::Column;
use crate::validation::{Errors, Path, names};

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

    fn lazy(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        event::Event.validate(object, errors);
        if object.text("eventTime").is_empty() {
            errors.required(&Path::new("eventTime"), "");
        }
        let controller = object.text("reportingComponent");
        let path = Path::new("reportingController");
        if controller.is_empty() {
            errors.required(&path, "");
        }
        errors.problems(&path, controller, names::qualified(controller));
        for (field, name, max) in [
            ("reportingInstance", "reportingInstance", 128),
            ("action", "action", 128),
            ("reason", "reason", 128),
        ] {
            check_text(object.text(field), name, max, errors);
        }
        if object.text("message").len() > 1024 {
            errors.invalid(&Path::new("message"), "", "can have at most 1024 characters");
        }
        let kind = object.text("type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.invalid(&Path::new("type"), "", &format!("has invalid value: {kind}"));
        }
    }

    fn columns(&self) -> &'static [Column] {
        event::COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        event::row(object, now)
    }
}

fn check_text(text: &str, name: &str, max: usize, errors: &mut Errors) {
    let path = Path::new(name);
    if text.is_empty() {
        errors.required(&path, "");
    } else if text.len() > max {
        errors.invalid(&path, "", &format!("can have at most {max} characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
