//! The quality-of-service class of a pod.

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::cgroups::{BEST_EFFORT, BURSTABLE, GUARANTEED};

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` if the pod itself limits cpu and memory to what it requests, `BestEffort` if it asks for neither, else
/// `Burstable`; a pod that says nothing of itself is what every container of it says. The class given at creation stands.
pub(crate) fn qos_class(pod: &Pod) -> &str {
    if let Some(class) = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        return class;
    }
    let Some(spec) = &pod.spec else { return BEST_EFFORT };
    if spec.resources.as_ref().is_some_and(|own| !is_best_effort(own)) {
        return class_of(spec.resources.as_ref());
    }
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let nothing = ResourceRequirements::default();
    class_of(containers.map(|container| container.resources.as_ref().unwrap_or(&nothing)))
}

fn class_of<'a>(all: impl IntoIterator<Item = &'a ResourceRequirements, IntoIter: Clone>) -> &'static str {
    let mut all = all.into_iter();
    if all.clone().all(is_best_effort) {
        BEST_EFFORT
    } else if all.all(is_guaranteed) {
        GUARANTEED
    } else {
        BURSTABLE
    }
}

fn value<'a>(resources: &'a ResourceRequirements, resource: &str, limits: bool) -> Option<&'a Quantity> {
    let list = if limits { &resources.limits } else { &resources.requests };
    list.as_ref()?.get(resource).filter(|quantity| quantity.0 != "0")
}

fn is_best_effort(resources: &ResourceRequirements) -> bool {
    COUNTED
        .iter()
        .all(|name| value(resources, name, true).is_none() && value(resources, name, false).is_none())
}

fn is_guaranteed(resources: &ResourceRequirements) -> bool {
    COUNTED.iter().all(|name| {
        let limit = value(resources, name, true);
        // A limit without a request is a request, too.
        limit.is_some() && value(resources, name, false).is_none_or(|request| Some(request) == limit)
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

    #[test]
    fn what_a_pod_says_of_itself_counts() {
        let spec = json!({
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        });
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        assert_eq!(qos_class(&pod), "Guaranteed");
    }
}
