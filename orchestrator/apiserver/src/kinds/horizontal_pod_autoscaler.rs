//! HorizontalPodAutoscaler, in the form of `autoscaling/v2`, which is the one that is stored.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::values::non_negative;
use crate::validation::{Errors, Path, scaling};

/// The rules of HorizontalPodAutoscalers.
pub(crate) struct HorizontalPodAutoscaler;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Reference", "string", "autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef"),
    Column::of("Targets", "string", "autoscaling.v2.HorizontalPodAutoscalerSpec.metrics"),
    Column::of("MinPods", "string", "autoscaling.v2.HorizontalPodAutoscalerSpec.minReplicas"),
    Column::of("MaxPods", "string", "autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas"),
    Column::of("Replicas", "string", "autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas"),
    table::AGE,
];

const UNKNOWN: &str = "<unknown>";

impl Rules for HorizontalPodAutoscaler {
    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        scaling::check_spec(object.field("spec").unwrap_or(&Value::Null), &Path::new("spec"), errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let status = object.field("status").unwrap_or(&Value::Null);
        non_negative(status, &["currentReplicas", "desiredReplicas"], &Path::new("status"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let target = object.field("spec.scaleTargetRef").unwrap_or(&Value::Null);
        let min = object.int("spec.minReplicas");
        vec![
            table::name(object),
            format!("{}/{}", target.text("kind"), target.text("name")).into(),
            metrics(object).into(),
            min.map_or_else(|| "<unset>".to_owned(), |min| min.to_string()).into(),
            table::number(object, "spec.maxReplicas"),
            table::number(object, "status.currentReplicas"),
            table::age(object, now),
        ]
    }
}

/// The first two metrics and how many more there are.
fn metrics(object: &Value) -> String {
    let statuses = object.items("status.currentMetrics");
    let specs = object.items("spec.metrics").iter().enumerate();
    let shown: Vec<String> = specs.map(|(at, spec)| metric(spec, statuses.get(at))).collect();
    match shown.len() {
        0 => "<none>".to_owned(),
        1 | 2 => shown.join(", "),
        more => format!("{} + {} more...", shown[..2].join(", "), more - 2),
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let (field, named) = match spec.text("type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let source = spec.field(field).unwrap_or(&Value::Null);
    let current = status.and_then(|status| status.field(field));
    let text = |value: &str| {
        let found = current.map(|current| current.text(value));
        found.filter(|text| !text.is_empty()).unwrap_or(UNKNOWN).to_owned()
    };
    let average = source.text("target.averageValue");
    let shown = if !average.is_empty() {
        let mark = if matches!(field, "external" | "object") { " (avg)" } else { "" };
        format!("{}/{average}{mark}", text("current.averageValue"))
    } else if named {
        let percent = |holder: Option<&Value>, path: &str| {
            holder.and_then(|holder| holder.int(path)).map(|percent| format!("{percent}%"))
        };
        let now = percent(current, "current.averageUtilization").unwrap_or_else(|| UNKNOWN.to_owned());
        let goal = percent(Some(source), "target.averageUtilization").unwrap_or_else(|| "<auto>".to_owned());
        format!("{now}/{goal}")
    } else {
        format!("{}/{}", text("current.value"), source.text("target.value"))
    };
    if named { format!("{}: {shown}", source.text("name")) } else { shown }
}
