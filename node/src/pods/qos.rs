//! The quality-of-service class of a pod.

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::cgroups::{BEST_EFFORT, BURSTABLE, GUARANTEED};

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` if every container limits cpu and memory to what it requests, `BestEffort` if none asks for any,
/// else `Burstable`. The class given at creation stands.
pub(crate) fn qos_class(pod: &Pod) -> &str {
    if let Some(class) = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        return class;
    }
    let Some(spec) = &pod.spec else { return BEST_EFFORT };
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    if containers().all(is_best_effort) {
        BEST_EFFORT
    } else if containers().all(is_guaranteed) {
        GUARANTEED
    } else {
        BURSTABLE
    }
}

fn value<'a>(container: &'a Container, resource: &str, limits: bool) -> Option<&'a Quantity> {
    let resources = container.resources.as_ref()?;
    let list = if limits { &resources.limits } else { &resources.requests };
    list.as_ref()?.get(resource).filter(|quantity| quantity.0 != "0")
}

fn is_best_effort(container: &Container) -> bool {
    COUNTED
        .iter()
        .all(|name| value(container, name, true).is_none() && value(container, name, false).is_none())
}

fn is_guaranteed(container: &Container) -> bool {
    COUNTED.iter().all(|name| {
        let limit = value(container, name, true);
        // A limit without a request is a request, too.
        limit.is_some() && value(container, name, false).is_none_or(|request| Some(request) == limit)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({}), "BestEffort")]
    #[case(json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed")]
    #[case(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed")]
    #[case(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable")]
    #[case(json!({"requests": {"memory": "1Gi"}}), "Burstable")]
    fn classes(#[case] resources: serde_json::Value, #[case] class: &str) {
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": resources}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(qos_class(&pod), class);
    }
}
