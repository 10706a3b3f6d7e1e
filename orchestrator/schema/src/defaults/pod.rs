//! Defaults of Pods and of the templates of Pods.

use super::{child, container, default, items, text, volume};
use crate::value::{Object, Str, Value};

/// A Pod: what a template has, and what only a Pod on its own gets.
pub(super) fn pod(pod: &mut Object) {
    let Some(spec) = child(pod, "spec") else { return };
    default(spec, &"enableServiceLinks", true);
    // A negative time would never end; upstream takes it for the shortest.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert(Str::fixed(&"terminationGracePeriodSeconds"), 1);
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            if let Some(resources) = child(container, "resources") {
                requests_from_limits(resources);
            }
            if host_network {
                container::host_ports(container);
            }
        }
    }
}

/// The Pod template of a workload.
pub(super) fn template(workload_spec: &mut Object) {
    let template = child(workload_spec, "template");
    if let Some(spec) = template.and_then(|template| child(template, "spec")) {
        pod_spec(spec);
    }
}

/// What is limited but not requested is requested in full.
fn requests_from_limits(resources: &mut Object) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = resources.object_mut(Str::fixed(&"requests"));
    for (name, limit) in limits {
        requests.or_insert_with(name, || limit);
    }
}

fn pod_spec(spec: &mut Object) {
    default(spec, &"dnsPolicy", text(&"ClusterFirst"));
    default(spec, &"restartPolicy", text(&"Always"));
    default(spec, &"schedulerName", text(&"default-scheduler"));
    default(spec, &"securityContext", Value::object());
    default(spec, &"terminationGracePeriodSeconds", 30);
    child(spec, "overhead").into_iter().for_each(container::round_resources);
    service_account(spec);
    items(spec, "volumes").for_each(volume::volume);
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        items(spec, list).for_each(container::container);
    }
}

/// The name has an older field, which is kept equal.
fn service_account(spec: &mut Object) {
    let name = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned();
    if let Some(name) = name {
        spec.insert(Str::fixed(&"serviceAccount"), name.clone());
        spec.insert(Str::fixed(&"serviceAccountName"), name);
    }
}
