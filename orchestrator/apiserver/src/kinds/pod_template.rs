//! PodTemplate: a description of Pods, kept by itself.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::template::check_pod_template;
use crate::validation::{Errors, Path};

/// The rules of PodTemplates.
pub(crate) struct PodTemplate;

static COLUMNS: &[Column] = &[
    table::NAME,
    table::CONTAINERS,
    table::IMAGES,
    Column::new("Pod Labels", "string", "The labels for the pod template."),
];

impl Rules for PodTemplate {
    fn generation(&self) -> &'static [&'static str] {
        &["template"]
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "template.spec");
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let template = object.field("template").unwrap_or(&Value::Null);
        check_pod_template(template, &Path::new("template"), errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_template(object, "template")
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "template.spec.containers");
        let labels = table::labels(object, "template.metadata.labels");
        let labels = if labels.is_empty() { "<none>".to_owned() } else { labels };
        vec![table::name(object), containers, images, labels.into()]
    }
}
