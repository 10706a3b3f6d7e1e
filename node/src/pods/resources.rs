//! Limits and users: from a Pod's words to those of a runtime.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wherry_runtime_api::{Resources, UserSpec};

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

/// Who runs the container: its own security context, else the pod's.
pub(super) fn user_of(pod: &Pod, container: &Container) -> UserSpec {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    let id = |value: Option<i64>| value.and_then(|id| u32::try_from(id).ok());
    let capabilities = own.and_then(|context| context.capabilities.as_ref());
    let plain = |list: Option<&Vec<String>>| -> Vec<String> {
        list.into_iter().flatten().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    let groups = of_pod.and_then(|context| context.supplemental_groups.clone()).unwrap_or_default();
    let fs_group = of_pod.and_then(|context| context.fs_group);
    let privileged = own.and_then(|context| context.privileged) == Some(true);
    UserSpec {
        uid: id(own.and_then(|c| c.run_as_user).or_else(|| of_pod.and_then(|c| c.run_as_user))),
        gid: id(own.and_then(|c| c.run_as_group).or_else(|| of_pod.and_then(|c| c.run_as_group))),
        supplemental_groups: groups.into_iter().chain(fs_group).filter_map(|group| id(Some(group))).collect(),
        privileged,
        add_capabilities: plain(capabilities.and_then(|c| c.add.as_ref())),
        drop_capabilities: plain(capabilities.and_then(|c| c.drop.as_ref())),
        allow_privilege_escalation: own.and_then(|c| c.allow_privilege_escalation).unwrap_or(true),
    }
}

/// Whether the container must not run as root.
pub(super) fn must_not_be_root(pod: &Pod, container: &Container) -> bool {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_non_root);
    let of_pod = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()).and_then(|c| c.run_as_non_root);
    own.or(of_pod) == Some(true)
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

    #[test]
    fn a_container_overrides_its_pod() {
        let pod = pod(json!({
            "securityContext": { "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4], "runAsNonRoot": true },
            "containers": [{ "name": "a", "securityContext": { "runAsUser": 9, "capabilities": { "add": ["CAP_NET_ADMIN"] } } }],
        }));
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let user = user_of(&pod, container);
        assert_eq!(
            (user.uid, user.gid, user.supplemental_groups.as_slice()),
            (Some(9), Some(2), &[4, 3][..])
        );
        assert_eq!(user.add_capabilities, ["NET_ADMIN"]);
        assert!(user.allow_privilege_escalation && must_not_be_root(&pod, container));
    }
}
