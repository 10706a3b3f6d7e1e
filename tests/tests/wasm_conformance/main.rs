//! What Kubernetes' conformance suite says of containers, done by WebAssembly: descriptions of common/node, common/storage and apps whose Pods run
//! commands of the guest `cli-p2` (docs/wasm-conformance.md has them all, those that WASI has no words for too).
//!
//! The descriptions are functions that share one cluster: each gives Pods, and what their last container must have written.

mod cases;

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, in_cluster, wait};

/// The Pod of a description.
struct Case {
    spec: Value,
    /// What the container `main` writes; words that begin with `@` are fields of the Pod.
    writes: &'static str,
    /// How the Pod ends.
    phase: &'static str,
}

impl Case {
    /// One container that does these steps.
    fn steps(steps: &[&str], writes: &'static str) -> Self {
        Self::of(json!({ "args": steps }), writes)
    }

    /// One container with these fields.
    fn of(fields: Value, writes: &'static str) -> Self {
        let spec = json!({ "containers": [container("main", fields)] });
        Self { spec, writes, phase: "Succeeded" }
    }

    /// With this volume at `/v`.
    fn with_volume(mut self, volume: Value) -> Self {
        self.spec["volumes"] = json!([merged(json!({ "name": "v" }), volume)]);
        for kind in ["initContainers", "containers"] {
            for container in self.spec[kind].as_array_mut().into_iter().flatten() {
                if container["volumeMounts"].is_null() {
                    container["volumeMounts"] = json!([{ "name": "v", "mountPath": "/v" }]);
                }
            }
        }
        self
    }

    fn ends(self, phase: &'static str) -> Self {
        Self { phase, ..self }
    }
}

fn container(name: &str, fields: Value) -> Value {
    merged(json!({ "name": name, "image": "127.0.0.1:5000/cli-p2:v1" }), fields)
}

fn merged(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

/// What the descriptions read.
fn objects() -> Value {
    let data = json!({ "data-1": "value-1", "data-2": "value-2" });
    let metadata = json!({ "name": "read" });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
    json!([map, secret])
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => { [$((stringify!($case), cases::$case())),*] };
}

#[test]
fn descriptions_of_containers_hold_for_webassembly() {
    let cases = cases![
        containers_with_arguments,
        containers_with_command,
        containers_with_command_and_arguments,
        configmap_from_environment_variables,
        configmap_from_environment_field,
        configmap_from_environment_field_with_various_prefixes,
        secrets_pod_environment_field,
        secrets_pod_environment_from_source,
        downwardapi_environment_for_name_namespace_and_ip,
        downwardapi_environment_for_host_ip,
        downwardapi_environment_for_hostips,
        downwardapi_environment_for_pod_uid,
        downwardapi_environment_for_cpu_and_memory_limits_and_requests,
        environment_variables_expansion,
        environment_variables_command_expansion,
        environment_variables_command_argument_expansion,
        volumesubpathenvexpansion_subpath_expansion,
        kubelet_log_output_default,
        kubelet_failed_pod_terminated_reason,
        init_container_starts_app_restartnever_pod,
        configmap_volume_without_mapping,
        configmap_volume_with_mapping,
        secrets_volume_default,
        secrets_volume_mapping,
        downwardapi_volume_pod_name,
        downwardapi_volume_cpu_limits,
        downwardapi_volume_memory_limits,
        downwardapi_volume_cpu_request,
        downwardapi_volume_memory_request,
        projected_volume_multiple_projections,
        emptydir_shared_volumes_between_containers,
    ];
    in_cluster(Options::default(), |cluster| {
        let mut items = objects();
        let list = items.as_array_mut().expect("a list");
        list.extend(cases.iter().map(|(name, case)| pod(name, case)));
        list.push(job());
        cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string());
        for (name, case) in &cases {
            check(cluster, name, case);
        }
        job_should_run_to_completion(cluster);
    });
}

fn pod(name: &str, case: &Case) -> Value {
    let spec =
        merged(json!({ "restartPolicy": "Never", "terminationGracePeriodSeconds": 0 }), case.spec.clone());
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": dashed(name) }, "spec": spec })
}

/// The name of a description as that of a Pod.
fn dashed(name: &str) -> String {
    let mut name = name.replace('_', "-");
    name.truncate(63);
    name
}

fn check(cluster: &Cluster, name: &str, case: &Case) {
    let pod = wait::until(name, || {
        let pod = cluster.get(&["pod", &dashed(name)]);
        if pod["status"]["phase"] == case.phase { Ok(pod) } else { Err(pod["status"].to_string()) }
    });
    let shown = cluster.kubectl(&["logs", &dashed(name), "-c", "main"]);
    let field = |line: &str| match line.trim_end().strip_prefix('@') {
        Some(path) => {
            pod.pointer(path).and_then(Value::as_str).map(|text| line.replace(line.trim_end(), text))
        }
        None => Some(line.to_owned()),
    };
    let expected: Option<String> = case.writes.split_inclusive('\n').map(field).collect();
    assert_eq!(Some(shown), expected, "{name}");
    if case.phase == "Failed" {
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("Error"), &json!(7)), "{name}: {ended}");
    }
}

/// apps/job: as often as it is asked for.
fn job() -> Value {
    let template = json!({ "spec": { "restartPolicy": "Never", "containers": [container("c", json!({ "args": ["print", "done"] }))] } });
    let spec = json!({ "completions": 3, "parallelism": 2, "template": template });
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "many" }, "spec": spec })
}

fn job_should_run_to_completion(cluster: &Cluster) {
    cluster.wait_for("condition=Complete", &["job/many"]);
    assert_eq!(cluster.get(&["job", "many"])["status"]["succeeded"], 3);
}
