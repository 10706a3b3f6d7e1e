//! Limits: from a Pod's words to those of a runtime.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wherry_runtime_api::Resources;

use crate::allocations::Amounts;

/// The limits of one container by what it says of itself.
fn of_container(container: &Container) -> Resources {
    container.resources.as_ref().map(of).unwrap_or_default()
}

/// What a container has of its pod: what it says, and the limits of the pod where it has none of its own.
pub(super) fn with_limits_of_pod<'a>(
    said: Option<&'a ResourceRequirements>,
    of_pod: Option<&ResourceRequirements>,
) -> Cow<'a, ResourceRequirements> {
    let said = said.map_or_else(|| Cow::Owned(ResourceRequirements::default()), Cow::Borrowed);
    let missing: Vec<_> = of_pod
        .and_then(|of_pod| of_pod.limits.as_ref())
        .into_iter()
        .flatten()
        .filter(|(name, _)| SHARED.contains(&name.as_str()))
        .filter(|(name, _)| !said.limits.as_ref().is_some_and(|limits| limits.contains_key(*name)))
        .collect();
    if missing.is_empty() {
        return said;
    }
    let mut has = said.into_owned();
    let limits = has.limits.get_or_insert_default();
    limits.extend(missing.into_iter().map(|(name, limit)| (name.clone(), limit.clone())));
    Cow::Owned(has)
}

/// What containers of a pod can share.
const SHARED: [&str; 2] = ["cpu", "memory"];

/// The limits that these requirements are.
pub(super) fn of(resources: &ResourceRequirements) -> Resources {
    let (limits, requests) = (resources.limits.as_ref(), resources.requests.as_ref());
    let cpu_limit = amount(limits, "cpu", true);
    Resources {
        cpu_request_millis: amount(requests, "cpu", true).or(cpu_limit),
        cpu_limit_millis: cpu_limit,
        memory_limit_bytes: amount(limits, "memory", false),
        pids_limit: None,
    }
}

/// The limits of the pod as a whole: what its containers may use at the worst moment of its life, where every one has a limit,
/// or what the pod says of itself.
pub(super) fn of_pod(pod: &Pod) -> Resources {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let limits = own.and_then(|own| own.limits.as_ref());
    let limit = |name, milli, of: fn(Resources) -> Option<u64>| {
        let of_containers = || at_once(pod, |container| of(of_container(container)));
        amount(limits, name, milli).or_else(of_containers).filter(|most| *most > 0)
    };
    Resources {
        cpu_request_millis: Some(requests(pod).cpu).filter(|cpu| *cpu > 0),
        cpu_limit_millis: limit("cpu", true, |of| of.cpu_limit_millis),
        memory_limit_bytes: limit("memory", false, |of| of.memory_limit_bytes),
        pids_limit: None,
    }
}

/// Limits that leave room for both.
pub(super) fn widest(one: Resources, other: Resources) -> Resources {
    let limit = |of: fn(&Resources) -> Option<u64>| Some(of(&one)?.max(of(&other)?));
    Resources {
        cpu_request_millis: one.cpu_request_millis.max(other.cpu_request_millis),
        cpu_limit_millis: limit(|of| of.cpu_limit_millis),
        memory_limit_bytes: limit(|of| of.memory_limit_bytes),
        pids_limit: limit(|of| of.pids_limit),
    }
}

/// What the pod may count on: what its containers ask for at the worst moment of its life, or what it asks for itself, and the
/// overhead of its runtime.
pub(crate) fn requests(pod: &Pod) -> Amounts {
    let spec = pod.spec.as_ref();
    let own = spec.and_then(|spec| spec.resources.as_ref()).and_then(|own| own.requests.as_ref());
    let overhead = spec.and_then(|spec| spec.overhead.as_ref());
    let request = |name, milli| {
        let of = |container: &Container| Some(asked(container, name, milli).unwrap_or(0));
        let sum = amount(own, name, milli).or_else(|| at_once(pod, of));
        sum.unwrap_or(0) + amount(overhead, name, milli).unwrap_or(0)
    };
    Amounts { cpu: request("cpu", true), memory: request("memory", false) }
}

/// What the pod has as a whole: what it says of itself, else what its containers have at the worst moment of its life.
pub(super) fn whole(pod: &Pod) -> ResourceRequirements {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let mut whole = own.cloned().unwrap_or_default();
    for name in SHARED {
        let milli = name == "cpu";
        let requests = || at_once(pod, |container| Some(asked(container, name, milli).unwrap_or(0)));
        complete(&mut whole.requests, name, requests);
        let limit =
            |container: &Container| amount(container.resources.as_ref()?.limits.as_ref(), name, milli);
        complete(&mut whole.limits, name, || at_once(pod, limit));
    }
    whole
}

/// Adds the sum to a list that does not say how much of it there is.
fn complete(list: &mut Option<BTreeMap<String, Quantity>>, name: &str, sum: impl FnOnce() -> Option<u64>) {
    if list.as_ref().is_some_and(|list| list.contains_key(name)) {
        return;
    }
    let Some(sum) = sum().and_then(|sum| i64::try_from(sum).ok()).filter(|sum| *sum > 0) else { return };
    let quantity = match name {
        "cpu" => wherry_api::quantity::Quantity::from_milli(sum),
        _ => wherry_api::quantity::Quantity::from_bytes(sum),
    };
    list.get_or_insert_default().insert(name.to_owned(), Quantity(quantity.to_string()));
}

/// What a container asks for; a limit without a request is one.
fn asked(container: &Container, name: &str, milli: bool) -> Option<u64> {
    let resources = container.resources.as_ref()?;
    amount(resources.requests.as_ref(), name, milli)
        .or_else(|| amount(resources.limits.as_ref(), name, milli))
}

/// How many processors the container asks for, if they are whole ones; else none.
pub(crate) fn whole_processors(container: &Container) -> usize {
    let millis = asked(container, "cpu", true).filter(|millis| millis % 1000 == 0);
    millis.and_then(|millis| usize::try_from(millis / 1000).ok()).unwrap_or(0)
}

/// The most that is in use at once: containers run together, beside the sidecars; init containers one after the other, each
/// beside the sidecars before it. `None` if some container has no amount.
pub(crate) fn at_once(pod: &Pod, of: impl Fn(&Container) -> Option<u64>) -> Option<u64> {
    let spec = pod.spec.as_ref()?;
    let (mut sidecars, mut starting) = (0, 0);
    for container in spec.init_containers.iter().flatten() {
        let needed = sidecars + of(container)?;
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = needed;
        }
        starting = needed.max(starting);
    }
    let running = spec.containers.iter().try_fold(sidecars, |sum, container| Some(sum + of(container)?))?;
    Some(running.max(starting))
}

fn amount(list: Option<&BTreeMap<String, Quantity>>, name: &str, milli: bool) -> Option<u64> {
    let quantity: wherry_api::quantity::Quantity = list?.get(name)?.0.parse().ok()?;
    let value = if milli { quantity.as_milli() } else { quantity.value() };
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
    }

    #[test]
    fn a_pod_is_limited_only_if_every_container_is() {
        let limited =
            |cpu: &str| json!({ "name": "a", "resources": { "limits": { "cpu": cpu, "memory": "1Mi" } } });
        let both = of_pod(&pod(json!({ "containers": [limited("500m"), limited("1")] })));
        assert_eq!((both.cpu_limit_millis, both.memory_limit_bytes), (Some(1500), Some(2 << 20)));
        let one = of_pod(&pod(json!({ "containers": [limited("500m"), { "name": "b" }] })));
        assert_eq!((one.cpu_limit_millis, one.memory_limit_bytes), (None, None));
        let init = json!({ "containers": [limited("500m")], "initContainers": [limited("2")] });
        assert_eq!(of_pod(&pod(init)).cpu_limit_millis, Some(2000));
        let mut sidecar = limited("2");
        sidecar["restartPolicy"] = json!("Always");
        let beside = json!({ "containers": [limited("500m")], "initContainers": [sidecar, limited("1")] });
        assert_eq!(of_pod(&pod(beside)).cpu_limit_millis, Some(3000));
        let own = json!({ "containers": [{ "name": "b" }], "resources": { "limits": { "cpu": "3" } } });
        assert_eq!(of_pod(&pod(own)).cpu_limit_millis, Some(3000));
    }

    #[test]
    fn a_pod_has_as_a_whole_what_it_says_and_else_what_its_containers_have() {
        let a = json!({ "name": "a", "resources": { "requests": { "cpu": "100m" }, "limits": { "memory": "1Mi" } } });
        let b = json!({ "name": "b", "resources": { "limits": { "cpu": "1", "memory": "1Mi" } } });
        let of_containers = whole(&pod(json!({ "containers": [a, b] })));
        let expected =
            json!({ "requests": { "cpu": "1100m", "memory": "2Mi" }, "limits": { "memory": "2Mi" } });
        assert_eq!(serde_json::to_value(of_containers).unwrap(), expected);
        let own = json!({ "limits": { "cpu": "0.5" } });
        let own = whole(&pod(json!({ "containers": [a], "resources": own })));
        let expected = json!({ "requests": { "cpu": "100m", "memory": "1Mi" }, "limits": { "cpu": "0.5", "memory": "1Mi" } });
        assert_eq!(serde_json::to_value(own).unwrap(), expected);
    }

    #[test]
    fn a_pod_may_count_on_what_it_asks_for() {
        let asks =
            |cpu: &str| json!({ "name": "a", "resources": { "requests": { "cpu": cpu, "memory": "1Mi" } } });
        let limited = json!({ "name": "b", "resources": { "limits": { "cpu": "1" } } });
        let spec = json!({ "containers": [asks("100m"), limited], "overhead": { "cpu": "50m" } });
        assert_eq!(requests(&pod(spec)), Amounts { cpu: 1150, memory: 1 << 20 });
        let own = json!({ "containers": [asks("100m")], "resources": { "requests": { "cpu": "2" } } });
        assert_eq!(requests(&pod(own)), Amounts { cpu: 2000, memory: 1 << 20 });
    }
}
