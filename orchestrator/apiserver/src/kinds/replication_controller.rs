//! ReplicationController: the older form of a ReplicaSet, whose selector is a map of labels.

use jiff::Timestamp;
use wherry_schema::{Object, Value};

use super::{Rules, Selectable};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::template::{check_endless, check_pod_template, show_labels};
use crate::validation::values::non_negative;
use crate::validation::{Errors, Path};

/// The rules of ReplicationControllers.
pub(crate) struct ReplicationController;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Desired", "integer", "core.v1.ReplicationControllerSpec.replicas"),
    Column::of("Current", "integer", "core.v1.ReplicationControllerStatus.replicas"),
    Column::of("Ready", "integer", "core.v1.ReplicationControllerStatus.readyReplicas"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "core.v1.ReplicationControllerSpec.selector").in_wide(),
];

static FIELDS: &[Selectable] = &[Selectable { name: "status.replicas", attribute: "=status.replicas" }];

impl Rules for ReplicationController {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
        object.put("status.replicas", 0);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        let spec = object.field("spec").unwrap_or(&Value::Null);
        non_negative(spec, &["minReadySeconds"], &path, errors);
        let selector = spec.map("selector").filter(|selector| !selector.is_empty());
        if selector.is_none() {
            errors.required(&path.child("selector"), "");
        }
        non_negative(spec, &["replicas"], &path, errors);
        let path = path.child("template");
        let Some(template) = spec.field("template") else {
            errors.required(&path, "");
            return;
        };
        let labels = template.map("metadata.labels");
        let has =
            |(key, value): (&wherry_schema::Str, &Value)| labels.and_then(|l| l.get(key)) == Some(value);
        if !selector.into_iter().flat_map(Object::iter).all(has) {
            let detail = "`selector` does not match template `labels`";
            errors.invalid(&path.child("metadata.labels"), show_labels(labels), detail);
        }
        check_pod_template(template, &path, errors);
        check_endless(template, "ReplicationController", &path, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        super::replica_set::check_counts(object, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_workload(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        let selector = table::labels(object, "spec.selector");
        let selector = if selector.is_empty() { "<none>".to_owned() } else { selector };
        vec![
            table::name(object),
            table::number(object, "spec.replicas"),
            table::number(object, "status.replicas"),
            table::number(object, "status.readyReplicas"),
            table::age(object, now),
            containers,
            images,
            selector.into(),
        ]
    }
}
