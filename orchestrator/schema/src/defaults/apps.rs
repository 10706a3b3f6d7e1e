//! Defaults of Deployments and ReplicaSets.

use super::{child, default, pod, text};
use crate::value::{Object, Str, Value};

pub(super) fn deployment(deployment: &mut Object) {
    let Some(spec) = child(deployment, "spec") else { return };
    default(spec, &"replicas", 1);
    default(spec, &"revisionHistoryLimit", 10);
    default(spec, &"progressDeadlineSeconds", 600);
    let strategy = spec.object_mut(Str::fixed(&"strategy"));
    default(strategy, &"type", text(&"RollingUpdate"));
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
        let rolling = strategy.object_mut(Str::fixed(&"rollingUpdate"));
        default(rolling, &"maxSurge", text(&"25%"));
        default(rolling, &"maxUnavailable", text(&"25%"));
    }
    pod::template(spec);
}

pub(super) fn replica_set(set: &mut Object) {
    let Some(spec) = child(set, "spec") else { return };
    default(spec, &"replicas", 1);
    pod::template(spec);
}
