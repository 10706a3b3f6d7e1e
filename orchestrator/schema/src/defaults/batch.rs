//! Defaults of Jobs and of what makes them.

use super::{apps, child, default, items, pod, text};
use crate::value::{Object, Str, Value};

pub(super) fn job(job: &mut Object) {
    let Some(spec) = child(job, "spec") else { return };
    if !spec.contains("completions") && !spec.contains("parallelism") {
        default(spec, &"completions", 1);
    }
    default(spec, &"parallelism", 1);
    let per_index = spec.contains("backoffLimitPerIndex");
    default(spec, &"backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    default(spec, &"completionMode", text(&"NonIndexed"));
    default(spec, &"suspend", false);
    default(spec, &"manualSelector", false);
    let policy = child(spec, "podFailurePolicy");
    let replacement = if policy.is_some() { text(&"Failed") } else { text(&"TerminatingOrFailed") };
    for rule in policy.into_iter().flat_map(|policy| items(policy, "rules")) {
        items(rule, "onPodConditions").for_each(|pattern| default(pattern, &"status", text(&"True")));
    }
    default(spec, &"podReplacementPolicy", replacement);
    pod::template(spec);
    if let Some(labels) = apps::template_labels(spec) {
        apps::label(job, &labels);
    }
}

pub(super) fn cron_job(job: &mut Object) {
    let Some(spec) = child(job, "spec") else { return };
    default(spec, &"concurrencyPolicy", text(&"Allow"));
    default(spec, &"suspend", false);
    default(spec, &"successfulJobsHistoryLimit", 3);
    default(spec, &"failedJobsHistoryLimit", 1);
    let template = child(spec, "jobTemplate").and_then(|template| child(template, "spec"));
    template.into_iter().for_each(pod::template);
}

/// What scales: at least one Pod, by the use of their processors.
pub(super) fn autoscaler_v2(autoscaler: &mut Object) {
    let Some(spec) = child(autoscaler, "spec") else { return };
    default(spec, &"minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let metric = br#"{"resource":{"name":"cpu","target":{"averageUtilization":80,"type":"Utilization"}},"type":"Resource"}"#;
        let metric = Value::from_json(metric).expect("it is JSON");
        spec.insert(Str::fixed(&"metrics"), vec![metric]);
    }
    if let Some(behavior) = child(spec, "behavior") {
        scaling(behavior.object_mut(Str::fixed(&"scaleUp")), Some(0), &[("Pods", 4), ("Percent", 100)]);
        scaling(behavior.object_mut(Str::fixed(&"scaleDown")), None, &[("Percent", 100)]);
    }
}

fn scaling(rules: &mut Object, window: Option<i64>, policies: &[(&str, i64)]) {
    default(rules, &"selectPolicy", text(&"Max"));
    if let Some(window) = window {
        default(rules, &"stabilizationWindowSeconds", window);
    }
    let policies = policies.iter().map(|(kind, value)| {
        let mut policy = Value::object();
        policy.set(&["type"], *kind);
        policy.set(&["value"], *value);
        policy.set(&["periodSeconds"], 15);
        policy
    });
    default(rules, &"policies", policies.collect::<Vec<_>>());
}

/// The older form, whose other metrics are in an annotation.
pub(super) fn autoscaler_v1(autoscaler: &mut Object) {
    let annotations = child(autoscaler, "metadata").and_then(|metadata| child(metadata, "annotations"));
    let more = annotations.is_some_and(|a| a.contains("autoscaling.alpha.kubernetes.io/metrics"));
    if let Some(spec) = child(autoscaler, "spec") {
        default(spec, &"minReplicas", 1);
        if !more {
            default(spec, &"targetCPUUtilizationPercentage", 80);
        }
    }
}
