//! RuntimeClass: a name for the handler that runs a Pod's containers.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::{Object, Value};

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::drivers::renamed;
use crate::validation::meta::check_labels;
use crate::validation::pod::{check_overhead, check_tolerations};
use crate::validation::{Errors, Path, internal};

/// The rules of RuntimeClasses.
pub(crate) struct RuntimeClass;

static COLUMNS: &[Column] = &[table::NAME, Column::new("Handler", "string", ""), table::AGE];

impl Rules for RuntimeClass {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let handler = object.text("handler");
        if let Err(reason) = names::dns1123_label(handler) {
            errors.invalid(&Path::new("handler"), handler, &reason);
        }
        if let Some(overhead) = object.map("overhead.podFixed") {
            check_overhead(overhead, &Path::new("overhead"), errors);
        }
        let scheduling = Path::new("scheduling");
        let selector = object.map("scheduling.nodeSelector");
        check_labels(selector, &scheduling.child("nodeSelector"), errors);
        let (tolerations, path) = (object.items("scheduling.tolerations"), scheduling.child("tolerations"));
        check_tolerations(tolerations, &path, errors);
        let key = |toleration: &Value| {
            ["key", "operator", "value", "effect"].map(|field| toleration.text(field).to_owned())
        };
        for (index, toleration) in tolerations.iter().enumerate() {
            if tolerations[..index].iter().any(|other| key(other) == key(toleration)) {
                let shown = internal::show("Toleration", Some(toleration));
                errors.duplicate(&path.index(index), shown);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "handler") {
            errors.invalid(&Path::new("handler"), object.text("handler"), "field is immutable");
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let selector = object.map("scheduling.nodeSelector");
        let texts = selector.into_iter().flat_map(Object::keys).filter_map(|label| renamed(label));
        texts.map(|text| format!("scheduling.nodeSelector: {text}")).collect()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), object.text("handler").into(), table::age(object, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_class_adds_to_pods_is_checked() {
        for (json, wanted) in [
            (r#"{"handler":"h","overhead":{"podFixed":{"cpu":"1"}}}"#, &[][..]),
            (r#"{"handler":"h","overhead":{"podFixed":{"cpu":"-1"}}}"#, &["overhead.limits[cpu]"]),
            (
                r#"{"handler":"h","overhead":{"podFixed":{"foo":"1"}}}"#,
                &["overhead.limits[foo]", "overhead.limits[foo]"],
            ),
            (
                r#"{"handler":"h","scheduling":{"tolerations":[{"operator":"Exists"},{"operator":"Exists"}]}}"#,
                &["scheduling.tolerations[1]"],
            ),
        ] {
            let mut errors = Errors::default();
            RuntimeClass.validate(&Value::from_json(json.as_bytes()).unwrap(), &mut errors);
            let fields: Vec<&str> = errors.causes().iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(fields, wanted, "{json}");
        }
    }

    #[test]
    fn old_labels_of_nodes_are_warned_of() {
        let json = br#"{"scheduling":{"nodeSelector":{"beta.kubernetes.io/arch":"a","b":"c"}}}"#;
        let warnings = RuntimeClass.warnings(&Value::from_json(json).unwrap());
        let wanted = "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/arch\" instead";
        assert_eq!(warnings, [wanted]);
    }
}
