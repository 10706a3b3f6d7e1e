//! What a Pod needs of its node at the worst moment of its life.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::resources::Resources;

/// The requests of the whole Pod. Containers run together; init containers run one after the other, each beside
/// the sidecars started before it; sidecars then stay. What the Pod itself asks for replaces what its
/// containers ask for, and the overhead of its runtime comes on top.
pub(super) fn requests(spec: &PodSpec) -> Resources {
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut needed = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += &needed;
            needed = sidecars.clone();
        } else {
            needed += &sidecars;
        }
        starting = starting.max(&needed);
    }
    let mut running = sidecars;
    for container in &spec.containers {
        running += &of(container);
    }
    let mut total = running.max(&starting);
    let own = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if let Some(own) = own {
        let parsed = Resources::parse(own);
        for name in own.keys() {
            match name.as_str() {
                "cpu" => total.cpu = parsed.cpu,
                "memory" => total.memory = parsed.memory,
                other if other.starts_with("hugepages-") => total.set(other, parsed.extended(other)),
                _ => {}
            }
        }
    }
    if let Some(overhead) = &spec.overhead {
        total += &Resources::parse(overhead);
    }
    total.pods = 1;
    total
}

fn of(container: &Container) -> Resources {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.map(Resources::parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn container(cpu: &str, policy: Option<&str>) -> serde_json::Value {
        json!({ "name": "c", "restartPolicy": policy, "resources": { "requests": { "cpu": cpu, "memory": "1Mi" } } })
    }

    #[rstest]
    #[case::sum(&["100m", "200m"], &[], 300)]
    #[case::init_is_a_maximum(&["100m"], &[("500m", false), ("50m", false)], 500)]
    #[case::sidecars_stay(&["100m"], &[("200m", true)], 300)]
    #[case::init_runs_beside_earlier_sidecars(&["100m"], &[("200m", true), ("400m", false)], 600)]
    #[case::init_before_a_sidecar_runs_alone(&["100m"], &[("400m", false), ("200m", true)], 400)]
    fn cpu(#[case] containers: &[&str], #[case] init: &[(&str, bool)], #[case] expected: i64) {
        let containers: Vec<_> = containers.iter().map(|cpu| container(cpu, None)).collect();
        let init: Vec<_> =
            init.iter().map(|(cpu, sidecar)| container(cpu, sidecar.then_some("Always"))).collect();
        let spec = json!({ "containers": containers, "initContainers": init });
        let requests = requests(&serde_json::from_value(spec).unwrap());
        assert_eq!((requests.cpu, requests.pods), (expected, 1));
    }

    #[test]
    fn the_pods_own_requests_and_its_overhead() {
        let spec = json!({
            "containers": [container("100m", None)],
            "resources": { "requests": { "cpu": "1" } },
            "overhead": { "cpu": "50m", "memory": "1Mi" },
        });
        let requests = requests(&serde_json::from_value(spec).unwrap());
        assert_eq!((requests.cpu, requests.memory), (1050, 2 * 1024 * 1024));
    }
}
