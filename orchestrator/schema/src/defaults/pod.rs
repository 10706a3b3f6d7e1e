//! Defaults of Pods and of the templates of Pods.

use std::collections::BTreeMap;

use wherry_api::quantity::Quantity;

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
    pod_requests(spec);
}

/// What a Pod as a whole is limited to but does not request it requests as its containers do, else in full.
fn pod_requests(spec: &mut Object) {
    let limits = match spec.get("resources").and_then(|resources| resources.get("limits")) {
        Some(Value::Object(limits)) if !limits.is_empty() => limits.clone(),
        _ => return,
    };
    let sums = container_requests(spec);
    let Some(resources) = child(spec, "resources") else { return };
    let requests = resources.object_mut(Str::fixed(&"requests"));
    for (name, amount) in sums {
        requests.or_insert_with(Str::from(&*name), || amount.to_string().into());
    }
    for (name, limit) in limits.into_iter().filter(|(name, _)| is_of_pod(name)) {
        requests.or_insert_with(name, || limit);
    }
}

/// Whether a Pod as a whole can ask for it.
fn is_of_pod(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What the containers request together. Those that run before the others count where they ask for more.
fn container_requests(spec: &Object) -> BTreeMap<String, Quantity> {
    let list = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
    let asked = |container: &Value| -> Vec<(String, Quantity)> {
        let requests = container.at(&["resources", "requests"]).and_then(Value::as_object);
        let amounts = requests.into_iter().flat_map(Object::iter).filter(|(name, _)| is_of_pod(name));
        amounts.filter_map(|(name, text)| Some((name.to_string(), text.as_str()?.parse().ok()?))).collect()
    };
    let mut sums = BTreeMap::<String, Quantity>::new();
    for (name, amount) in list("containers").flat_map(asked) {
        let sum = sums.entry(name).or_default();
        *sum = *sum + amount;
    }
    let (mut beside, mut peaks) = (BTreeMap::<String, Quantity>::new(), BTreeMap::<String, Quantity>::new());
    for container in list("initContainers") {
        let stays = container.str_at(&["restartPolicy"]) == Some("Always");
        for (name, amount) in asked(container) {
            let before = beside.get(&name).copied().unwrap_or_default();
            if stays {
                let sum = sums.entry(name.clone()).or_default();
                *sum = *sum + amount;
                beside.insert(name.clone(), before + amount);
            }
            let peak = peaks.entry(name).or_default();
            *peak = (*peak).max(before + amount);
        }
    }
    for (name, peak) in peaks {
        let sum = sums.entry(name).or_default();
        *sum = (*sum).max(peak);
    }
    sums
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
