//! Limits: from a Pod's words to those of a runtime.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wherry_runtime_api::Resources;

/// The limits of one container.
pub(super) fn of_container(container: &Container) -> Resources {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let cpu_limit = amount(limits, "cpu", true);
    Resources {
        cpu_request_millis: amount(requests, "cpu", true).or(cpu_limit),
        cpu_limit_millis: cpu_limit,
        memory_limit_bytes: amount(limits, "memory", false),
        pids_limit: None,
    }
}

/// The limits of the pod as a whole: a sum, where every container has a limit.
pub(super) fn of_pod(pod: &Pod) -> Resources {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    // Init containers may use more than the others together; their limits are their own.
    let init: Vec<Resources> = init.map(of_container).collect();
    let all: Vec<Resources> = containers.iter().map(of_container).collect();
    let sum = |of: fn(&Resources) -> Option<u64>| -> Option<u64> {
        let sum: Option<u64> = all.iter().map(of).sum();
        let largest_init: Option<u64> =
            init.iter().map(of).try_fold(0, |largest, next| next.map(|n| n.max(largest)));
        Some(sum?.max(largest_init?))
    };
    Resources {
        cpu_request_millis: Some(all.iter().filter_map(|r| r.cpu_request_millis).sum())
            .filter(|sum| *sum > 0),
        cpu_limit_millis: sum(|r| r.cpu_limit_millis).filter(|sum| *sum > 0),
        memory_limit_bytes: sum(|r| r.memory_limit_bytes).filter(|sum| *sum > 0),
        pids_limit: None,
    }
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
    }
}
