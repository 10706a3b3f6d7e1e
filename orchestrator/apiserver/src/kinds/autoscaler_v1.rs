//! HorizontalPodAutoscaler of `autoscaling/v1`: scales by the use of processors alone.
//!
//! What the stored form says beyond that is kept in annotations, as JSON, and read from them again.

use jiff::Timestamp;
use wherry_schema::{Object, Value};

use super::horizontal_pod_autoscaler::HorizontalPodAutoscaler;
use super::{Conversion, Rules};
use crate::object::Fields;
use crate::table::Column;
use crate::validation::{Errors, internal};

/// The rules of `autoscaling/v1` HorizontalPodAutoscalers, on their stored form.
pub(crate) struct AutoscalerV1;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const TARGET: &str = "spec.targetCPUUtilizationPercentage";
const USED: &str = "status.currentCPUUtilizationPercentage";

/// Fields of a metric here and in the stored form, by the kind of the metric.
static FIELDS: &[(&str, &[(&str, &str)])] = &[
    (
        "object",
        &[
            ("target", "describedObject"),
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("targetValue", "target.value"),
            ("averageValue", "target.averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name"),
            ("targetAverageUtilization", "target.averageUtilization"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("targetAverageUtilization", "target.averageUtilization"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name"),
            ("metricSelector", "metric.selector"),
            ("targetValue", "target.value"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
];

/// The same for what a metric is at.
static STATUS_FIELDS: &[(&str, &[(&str, &str)])] = &[
    (
        "object",
        &[
            ("target", "describedObject"),
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("currentValue", "current.value"),
            ("averageValue", "current.averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name"),
            ("currentAverageUtilization", "current.averageUtilization"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("currentAverageUtilization", "current.averageUtilization"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name"),
            ("metricSelector", "metric.selector"),
            ("currentValue", "current.value"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
];

/// How fields of metrics are called here and in the stored form.
type Names = &'static [(&'static str, &'static [(&'static str, &'static str)])];

fn rename(metric: &Value, names: Names, to_stored: bool) -> Value {
    let mut out = Value::object();
    out.assign("type", metric.field("type").cloned());
    for (kind, fields) in names {
        let Some(source) = metric.field(kind) else { continue };
        out.put(kind, Value::object());
        for (here, stored) in *fields {
            let (from, to) = if to_stored { (here, stored) } else { (stored, here) };
            if let Some(value) = source.field(from) {
                out.put(&format!("{kind}.{to}"), value.clone());
            }
        }
        if to_stored && std::ptr::eq(names, FIELDS) {
            let has = |field: &str| out.has(&format!("{kind}.target.{field}"));
            let goal = match () {
                () if has("averageUtilization") => "Utilization",
                () if has("averageValue") => "AverageValue",
                () => "Value",
            };
            out.put(&format!("{kind}.target.type"), goal);
        }
    }
    out
}

fn is_cpu(metric: &Value, value: &str) -> bool {
    metric.text("type") == "Resource"
        && metric.text("resource.name") == "cpu"
        && metric.has(&format!("resource.{value}.averageUtilization"))
}

fn cpu(value: &str, percent: Value) -> Value {
    let mut metric = Value::object();
    metric.put("type", "Resource");
    metric.put("resource.name", "cpu");
    metric.put(&format!("resource.{value}.averageUtilization"), percent);
    if value == "target" {
        metric.put("resource.target.type", "Utilization");
    }
    metric
}

/// Takes an annotation out and reads it; what is no JSON is as good as none.
fn take(object: &mut Value, key: &str) -> Option<Value> {
    let value = object.remove(&["metadata", "annotations", key])?;
    if object.map("metadata.annotations").is_some_and(Object::is_empty) {
        object.take("metadata.annotations");
    }
    Value::from_json(value.as_str()?.as_bytes()).ok()
}

fn annotate(object: &mut Value, key: &str, text: String) {
    object.set(&["metadata", "annotations", key], text);
}

/// Names of fields as JSON writes them: `ScaleUp` as `scaleUp`.
fn lower_names(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let lowered = |name: &str| {
                let mut chars = name.chars();
                chars.next().map_or_else(String::new, |c| c.to_ascii_lowercase().to_string() + chars.as_str())
            };
            let fields = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(n, v)| (lowered(&n).into(), lower_names(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_names).collect()),
        other => other,
    }
}

impl Conversion for AutoscalerV1 {
    fn to_stored(&self, object: &mut Value) {
        object.put("apiVersion", "autoscaling/v2");
        let items = |value: Option<Value>, names: Names| -> Vec<Value> {
            let items = value.and_then(|value| value.as_array().cloned()).unwrap_or_default();
            items.iter().map(|metric| rename(metric, names, true)).collect()
        };
        let mut metrics = items(take(object, METRICS), FIELDS);
        metrics.extend(object.take(TARGET).map(|percent| cpu("target", percent)));
        if !metrics.is_empty() {
            object.put("spec.metrics", metrics);
        }
        let used = object.take(USED);
        let mut current = items(take(object, CURRENT), STATUS_FIELDS);
        if current.is_empty() {
            current.extend(used.map(|percent| cpu("current", percent)));
        }
        let current = if current.is_empty() { Value::Null } else { current.into() };
        object.put("status.currentMetrics", current);
        if let Some(behavior) = take(object, BEHAVIOR) {
            object.put("spec.behavior", lower_names(behavior));
        }
        if let Some(conditions) = take(object, CONDITIONS) {
            object.put("status.conditions", conditions);
        }
    }

    fn to_served(&self, object: &mut Value) {
        object.put("apiVersion", "autoscaling/v1");
        let metrics = object.take("spec.metrics");
        let metrics = metrics.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let (known, others): (Vec<&Value>, Vec<&Value>) = metrics.iter().partition(|m| is_cpu(m, "target"));
        if let Some(percent) = known.first().and_then(|m| m.field("resource.target.averageUtilization")) {
            object.put(TARGET, percent.clone());
        }
        if !others.is_empty() {
            let others: Vec<Value> = others.into_iter().map(|m| rename(m, FIELDS, false)).collect();
            annotate(object, METRICS, Value::from(others).to_string());
        }
        let current = object.take("status.currentMetrics");
        let current = current.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let used = current.iter().find(|metric| is_cpu(metric, "current"));
        if let Some(percent) = used.and_then(|m| m.field("resource.current.averageUtilization")) {
            object.put(USED, percent.clone());
        }
        if !current.is_empty() {
            let current: Vec<Value> = current.iter().map(|m| rename(m, STATUS_FIELDS, false)).collect();
            annotate(object, CURRENT, Value::from(current).to_string());
        }
        if let Some(behavior) = object.take("spec.behavior") {
            annotate(object, BEHAVIOR, internal::show("HPABehavior", Some(&behavior)).to_string());
        }
        if let Some(conditions) = object.take("status.conditions") {
            annotate(object, CONDITIONS, conditions.to_string());
        }
        if !object.has("status.currentReplicas") {
            object.put("status.currentReplicas", 0);
        }
    }
}

impl Rules for AutoscalerV1 {
    fn conversion(&self) -> Option<&'static dyn Conversion> {
        Some(&AutoscalerV1)
    }

    fn prepare_create(&self, object: &mut Value) {
        HorizontalPodAutoscaler.prepare_create(object);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        HorizontalPodAutoscaler.validate(object, errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        HorizontalPodAutoscaler.validate_status(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        HorizontalPodAutoscaler.columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        HorizontalPodAutoscaler.cells(object, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_older_form_cannot_say_survives_in_annotations() {
        let json = br#"{"apiVersion":"autoscaling/v2","metadata":{"name":"a"},"spec":{"behavior":{"scaleDown":{"policies":[{"periodSeconds":60,"type":"Pods","value":1}],"selectPolicy":"Max"}},"metrics":[{"pods":{"metric":{"name":"m"},"target":{"averageValue":"1k","type":"AverageValue"}},"type":"Pods"},{"resource":{"name":"cpu","target":{"averageUtilization":50,"type":"Utilization"}},"type":"Resource"}]},"status":{"conditions":[{"status":"True","type":"AbleToScale"}],"currentMetrics":[{"resource":{"current":{"averageUtilization":30,"averageValue":"3"},"name":"cpu"},"type":"Resource"}],"currentReplicas":1}}"#;
        let stored = Value::from_json(json).unwrap();
        let mut object = stored.clone();
        AutoscalerV1.to_served(&mut object);
        assert_eq!((object.int(TARGET), object.int(USED)), (Some(50), Some(30)));
        assert!(!object.has("spec.metrics") && !object.has("spec.behavior"));
        let metrics = object.at(&["metadata", "annotations", METRICS]).and_then(Value::as_str);
        assert_eq!(metrics, Some(r#"[{"pods":{"metricName":"m","targetAverageValue":"1k"},"type":"Pods"}]"#));
        AutoscalerV1.to_stored(&mut object);
        assert_eq!(object.to_string(), stored.to_string());
    }
}
