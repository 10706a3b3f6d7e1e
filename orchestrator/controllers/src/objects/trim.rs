//! What the caches leave out of objects because no controller reads it: of many thousand Pods most of the memory.
//!
//! Caveat: a Pod from the cache must not be written back as a whole; what changes is patched, or read anew first.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus, Volume};

/// Leaves of a Pod what controllers read: metadata, where it may run and runs, what it asks for, the claims it mounts, its status.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(owners) = &mut pod.metadata.owner_references {
        owners.shrink_to_fit();
    }
    if let Some(spec) = &mut pod.spec {
        trim_spec(spec);
    }
    if let Some(status) = &mut pod.status {
        trim_status(status);
    }
}

fn trim_spec(spec: &mut PodSpec) {
    spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(trim_container);
    spec.containers.shrink_to_fit();
    shrink(&mut spec.init_containers);
    spec.ephemeral_containers = None;
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(names_claim);
    }
    shrink(&mut spec.volumes);
    shrink(&mut spec.tolerations);
    spec.dns_config = None;
    spec.host_aliases = None;
    spec.image_pull_secrets = None;
    spec.security_context = None;
}

fn trim_container(container: &mut Container) {
    let Container { name, ports, resources, restart_policy, .. } = std::mem::take(container);
    *container = Container { name, ports, resources, restart_policy, ..Container::default() };
    shrink(&mut container.ports);
}

/// Whether a volume is one that a claim stands for.
fn names_claim(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
}

fn trim_status(status: &mut PodStatus) {
    shrink(&mut status.conditions);
    shrink(&mut status.pod_ips);
    shrink(&mut status.host_ips);
    shrink(&mut status.container_statuses);
    shrink(&mut status.init_container_statuses);
    status.ephemeral_container_statuses = None;
}

/// Reading leaves room for more, which never comes.
fn shrink<T>(list: &mut Option<Vec<T>>) {
    match list {
        Some(items) if items.is_empty() => *list = None,
        Some(items) => items.shrink_to_fit(),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_keeps_what_controllers_read() {
        let kept: Value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-0", "labels": {"app": "web"}, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
            "spec": {
                "nodeName": "n", "hostname": "web-0", "subdomain": "web", "priority": 3, "activeDeadlineSeconds": 9,
                "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}],
                    "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [{"name": "side", "restartPolicy": "Always"}],
                "tolerations": [{"operator": "Exists"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}],
            },
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 2}]},
        });
        let mut full = kept.clone();
        full["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "b"}]);
        full["spec"]["containers"][0]["command"] = json!(["run"]);
        full["spec"]["initContainers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        let volumes = full["spec"]["volumes"].as_array_mut().unwrap();
        volumes.push(json!({"name": "access", "projected": {"sources": []}}));
        let mut trimmed: Pod = serde_json::from_value(full).unwrap();
        pod(&mut trimmed);
        assert_eq!(serde_json::to_value(trimmed).unwrap(), kept);
    }
}
