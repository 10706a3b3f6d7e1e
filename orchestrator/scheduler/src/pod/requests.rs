//! What a Pod needs of its node at the worst moment of its life.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};

use super::resources::{Resources, UsualAmounts};
use super::template::is_wasm;

/// The requests of the whole Pod. Containers run together; init containers run one after the other, each beside
/// the sidecars started before it; sidecars then stay. What the Pod itself asks for replaces what its
/// containers ask for, and the overhead of its runtime comes on top, if it has a sandbox. While a container is being resized it counts
/// as the most of what it asks for, what it was promised and what it has.
pub(super) fn requests(pod: &Pod, usual: UsualAmounts) -> Resources {
    let nothing = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&nothing);
    let of = |container: &Container| container_requests(pod, container, usual);
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
    replace_by_own(&mut total, spec);
    // Wasm runs in the node's own process: there is no sandbox that could cost something.
    if let Some(overhead) = spec.overhead.as_ref().filter(|_| !is_wasm(spec)) {
        total += &Resources::parse(overhead);
    }
    total.pods = 1;
    total
}

fn replace_by_own(total: &mut Resources, spec: &PodSpec) {
    let own = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let Some(own) = own else { return };
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

fn container_requests(pod: &Pod, container: &Container, usual: UsualAmounts) -> Resources {
    let asked = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let mut requests = asked.map(Resources::parse).unwrap_or_default();
    if let Some(status) = status_of(pod, &container.name) {
        let has = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let given = [has, status.allocated_resources.as_ref()];
        let given = given.into_iter().flatten().map(Resources::parse);
        let given = given.reduce(|one, other| one.max(&other));
        if let Some(given) = given {
            requests = if is_infeasible(pod) { given } else { requests.max(&given) };
        }
    }
    if usual == UsualAmounts::ForMissing {
        let is_missing = |name: &str| asked.is_none_or(|asked| !asked.contains_key(name));
        requests.add_usual_amounts(is_missing("cpu"), is_missing("memory"));
    }
    requests
}

fn status_of<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let status = pod.status.as_ref()?;
    let running = status.container_statuses.iter().flatten();
    running.chain(status.init_container_statuses.iter().flatten()).find(|status| status.name == name)
}

/// Whether the node said that it will never have the room for what is asked now.
fn is_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| {
        condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(pod: Value) -> Resources {
        requests(&serde_json::from_value(pod).unwrap(), UsualAmounts::Never)
    }

    fn container(cpu: &str, policy: Option<&str>) -> Value {
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
        let requests = parsed(json!({ "spec": { "containers": containers, "initContainers": init } }));
        assert_eq!((requests.cpu, requests.pods), (expected, 1));
    }

    #[test]
    fn the_pods_own_requests_and_its_overhead() {
        let requests = parsed(json!({ "spec": {
            "containers": [container("100m", None)],
            "resources": { "requests": { "cpu": "1" } },
            "overhead": { "cpu": "50m", "memory": "1Mi" },
        } }));
        assert_eq!((requests.cpu, requests.memory), (1050, 2 * 1024 * 1024));
    }

    #[rstest]
    #[case::sandboxed("runc", 150)]
    #[case::wasm("wasmtime", 100)]
    fn wasm_needs_no_sandbox(#[case] class: &str, #[case] expected: i64) {
        let requests = parsed(json!({ "spec": {
            "containers": [container("100m", None)], "runtimeClassName": class, "overhead": { "cpu": "50m" },
        } }));
        assert_eq!(requests.cpu, expected);
    }

    #[rstest]
    #[case::grows("300m", "200m", "100m", None, 300)]
    #[case::shrinks("100m", "200m", "100m", None, 200)]
    #[case::still_has_more("100m", "100m", "400m", None, 400)]
    #[case::never_fits("900m", "200m", "100m", Some("Infeasible"), 200)]
    #[case::later("900m", "200m", "100m", Some("Deferred"), 900)]
    fn resized_in_place(
        #[case] asked: &str,
        #[case] promised: &str,
        #[case] has: &str,
        #[case] pending: Option<&str>,
        #[case] expected: i64,
    ) {
        let requests = parsed(json!({
            "spec": { "containers": [container(asked, None)] },
            "status": {
                "conditions": [{ "type": "PodResizePending", "status": "True", "reason": pending }],
                "containerStatuses": [{
                    "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": { "cpu": promised },
                    "resources": { "requests": { "cpu": has } },
                }],
            },
        }));
        assert_eq!(requests.cpu, expected);
    }

    #[test]
    fn each_container_that_asks_for_nothing_counts_as_usual() {
        let pod = json!({ "spec": { "containers": [container("50m", None), { "name": "d" }] } });
        let scored = requests(&serde_json::from_value(pod).unwrap(), UsualAmounts::ForMissing);
        assert_eq!((scored.cpu, scored.memory), (150, 201 * 1024 * 1024));
    }
}
