//! Pod: the unit that runs.

use jiff::Timestamp;
use wherry_schema::Value;

use super::pod_resources::quality;
use super::{Rules, Selectable, pod_status, pod_warnings};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, Path, pod};

/// The rules of Pods.
pub(crate) struct Pod;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Ready", "string", "The aggregate readiness state of this pod for accepting traffic."),
    Column::new("Status", "string", "The aggregate status of the containers in this pod."),
    Column::new(
        "Restarts",
        "string",
        "The number of times the containers in this pod have been restarted and when the last container in this pod \
         has restarted.",
    ),
    table::AGE,
    Column::of("IP", "string", "core.v1.PodStatus.podIP").in_wide(),
    Column::of("Node", "string", "core.v1.PodSpec.nodeName").in_wide(),
    Column::of("Nominated Node", "string", "core.v1.PodStatus.nominatedNodeName").in_wide(),
    Column::of("Readiness Gates", "string", "core.v1.PodSpec.readinessGates").in_wide(),
];

macro_rules! fields {
    ($($name:literal),*) => {
        &[$(Selectable { name: $name, attribute: concat!("=", $name) }),*]
    };
}

static FIELDS: &[Selectable] = fields!(
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIP"
);

impl Rules for Pod {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec");
        super::pod_resources::default_requests(object);
        object.put("status", Value::object());
        object.put("status.phase", "Pending");
        object.put("status.qosClass", quality(object));
        if !object.items("spec.schedulingGates").is_empty() {
            object.put("status.conditions", vec![gated(object)]);
        }
        super::pod_fields::merge_label_keys(object);
        super::pod_fields::adopt_app_armor(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        super::pod_fields::drop_unserved(object, "spec");
        // What admission decided may be left out of an update.
        crate::admission::tolerations(object);
        for field in ["spec.priority", "spec.preemptionPolicy"] {
            if !object.has(field) {
                object.assign(field, old.field(field).cloned());
            }
        }
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object.assign("metadata.ownerReferences", old.field("metadata.ownerReferences").cloned());
        if !object.has("status.qosClass") {
            object.assign("status.qosClass", old.field("status.qosClass").cloned());
        }
        pod_status::settle_addresses(object);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (metadata, path) = (Path::new("metadata"), Path::new("spec"));
        let spec = object.field("spec").unwrap_or(&Value::Null);
        let annotations = object.map("metadata.annotations");
        pod::check_annotations(annotations, spec, &metadata.child("annotations"), errors);
        pod::check_spec(spec, object.field("metadata"), &path, errors);
        pod::check_images(spec, &path, errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec");
        if !object.items("spec.ephemeralContainers").is_empty() {
            errors.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
        }
        if !object.text("spec.nodeName").is_empty() && !object.items("spec.schedulingGates").is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.forbidden(&path.child("nodeName"), detail);
        }
        let spec = object.field("spec").unwrap_or(&Value::Null);
        pod::check_annotated_fields(object.map("metadata.annotations"), spec, &path, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let (annotations, path) = ("metadata.annotations", Path::new("metadata.annotations"));
        pod::check_annotations_change(object.map(annotations), old.map(annotations), &path, errors);
        let (Some(spec), Some(old)) = (object.field("spec"), old.field("spec")) else { return };
        pod::check_update(spec, old, errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        pod_status::check(object, old, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        pod_warnings::of_pod(object)
    }

    fn update_warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row_conditions(&self, object: &Value) -> Option<Value> {
        let message = match object.text("status.phase") {
            "Succeeded" => "The pod has completed successfully.",
            "Failed" => "The pod failed.",
            _ => return None,
        };
        let mut condition = Value::object();
        condition.put("type", "Completed");
        condition.put("status", "True");
        condition.assign("reason", object.field("status.phase").cloned());
        condition.put("message", message);
        Some(vec![condition].into())
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let summary = pod_status::summarize(object, now);
        vec![
            table::name(object),
            summary.ready.into(),
            summary.status.into(),
            summary.restarts.into(),
            table::age(object, now),
            table::text_or(object, "status.podIP", "<none>"),
            table::text_or(object, "spec.nodeName", "<none>"),
            table::text_or(object, "status.nominatedNodeName", "<none>"),
            pod_status::readiness_gates(object).into(),
        ]
    }
}

/// The condition of a Pod that may not be scheduled yet.
fn gated(object: &Value) -> Value {
    let mut condition = Value::object();
    condition.put("type", "PodScheduled");
    condition.put("status", "False");
    condition.put("reason", "SchedulingGated");
    condition.put("message", "Scheduling is blocked due to non-empty scheduling gates");
    condition.put("lastProbeTime", Value::Null);
    condition.assign("lastTransitionTime", object.field("metadata.creationTimestamp").cloned());
    condition
}
