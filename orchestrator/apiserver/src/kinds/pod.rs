//! Pod: the unit that runs.

use jiff::Timestamp;
use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::{Rules, Selectable, pod_status};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::pod::{check_spec, check_spec_update};
use crate::validation::{Errors, Path};

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
        object.put("status", Value::object());
        object.put("status.phase", "Pending");
        object.put("status.qosClass", quality(object));
        if !object.items("spec.schedulingGates").is_empty() {
            object.put("status.conditions", vec![gated(object)]);
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        // What admission filled in may be left out of an update.
        crate::admission::tolerations(object);
        let filled =
            ["priority", "preemptionPolicy", "priorityClassName", "serviceAccountName", "serviceAccount"];
        for field in filled {
            let path = format!("spec.{field}");
            if !object.has(&path) {
                object.assign(&path, old.field(&path).cloned());
            }
        }
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object.assign("metadata.ownerReferences", old.field("metadata.ownerReferences").cloned());
        object.put("status.qosClass", quality(object));
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        check_spec(object.field("spec").unwrap_or(&Value::Null), &Path::new("spec"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let (Some(spec), Some(old)) = (object.field("spec"), old.field("spec")) else { return };
        check_spec_update(spec, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
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

/// The quality of service a Pod's requests and limits amount to.
fn quality(object: &Value) -> &'static str {
    let containers = object.items("spec.containers").iter().chain(object.items("spec.initContainers"));
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let list = |name: &str| container.field("resources").and_then(|r| r.map(name));
        let (requests, limits) = (list("requests"), list("limits"));
        any |= [requests, limits]
            .into_iter()
            .any(|l| amount(l, "cpu").is_some() || amount(l, "memory").is_some());
        guaranteed &= ["cpu", "memory"].into_iter().all(|name| {
            let limit = amount(limits, name);
            limit.is_some() && amount(requests, name).is_none_or(|request| Some(request) == limit)
        });
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn amount(list: Option<&Object>, name: &str) -> Option<Quantity> {
    let quantity: Quantity = list?.get(name)?.as_str()?.parse().ok()?;
    (!quantity.is_zero()).then_some(quantity)
}
