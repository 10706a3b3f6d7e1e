//! The descriptions: what each asks a Pod to do, and what comes of it.

use serde_json::{Value, json};

use crate::{Case, container};

fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn resource(name: &str, resource: &str) -> Value {
    json!({ "name": name, "valueFrom": { "resourceFieldRef": { "resource": resource } } })
}

fn limits() -> Value {
    json!({ "requests": { "cpu": "250m", "memory": "32Mi" }, "limits": { "cpu": "1250m", "memory": "64Mi" } })
}

// common/node/containers

pub(crate) fn containers_with_arguments() -> Case {
    Case::steps(&["print", "override", "args"], "override\n[\"main\", \"print\", \"override\", \"args\"]\n")
}

pub(crate) fn containers_with_command() -> Case {
    Case::of(json!({ "command": ["/program", "args"] }), "[\"/program\", \"args\"]\n")
}

pub(crate) fn containers_with_command_and_arguments() -> Case {
    Case::of(json!({ "command": ["/program"], "args": ["args"] }), "[\"/program\", \"args\"]\n")
}

// common/node/configmap, common/node/secrets

pub(crate) fn configmap_from_environment_variables() -> Case {
    let of = json!({ "configMapKeyRef": { "name": "read", "key": "data-1" } });
    Case::of(json!({ "env": [{ "name": "A", "valueFrom": of }], "args": ["env", "A"] }), "value-1\n")
}

pub(crate) fn configmap_from_environment_field() -> Case {
    let from = json!([{ "configMapRef": { "name": "read" } }]);
    Case::of(json!({ "envFrom": from, "args": ["env", "data-1", "env", "data-2"] }), "value-1\nvalue-2\n")
}

pub(crate) fn configmap_from_environment_field_with_various_prefixes() -> Case {
    let reference = json!({ "name": "read" });
    let from = json!([{ "configMapRef": reference }, { "prefix": "p-", "configMapRef": reference }]);
    Case::of(json!({ "envFrom": from, "args": ["env", "data-1", "env", "p-data-1"] }), "value-1\nvalue-1\n")
}

pub(crate) fn secrets_pod_environment_field() -> Case {
    let of = json!({ "secretKeyRef": { "name": "read", "key": "data-1" } });
    Case::of(json!({ "env": [{ "name": "A", "valueFrom": of }], "args": ["env", "A"] }), "value-1\n")
}

pub(crate) fn secrets_pod_environment_from_source() -> Case {
    let from =
        json!([{ "secretRef": { "name": "read" } }, { "prefix": "p-", "secretRef": { "name": "read" } }]);
    Case::of(json!({ "envFrom": from, "args": ["env", "data-2", "env", "p-data-2"] }), "value-2\nvalue-2\n")
}

// common/node/downwardapi

pub(crate) fn downwardapi_environment_for_name_namespace_and_ip() -> Case {
    let env =
        json!([field("A", "metadata.name"), field("B", "metadata.namespace"), field("C", "status.podIP")]);
    let args = ["env", "A", "env", "B", "env", "C"];
    Case::of(json!({ "env": env, "args": args }), "@/metadata/name\ndefault\n@/status/podIP\n")
}

pub(crate) fn downwardapi_environment_for_host_ip() -> Case {
    Case::of(json!({ "env": [field("A", "status.hostIP")], "args": ["env", "A"] }), "@/status/hostIP\n")
}

pub(crate) fn downwardapi_environment_for_hostips() -> Case {
    Case::of(
        json!({ "env": [field("A", "status.hostIPs")], "args": ["env", "A"] }),
        "@/status/hostIPs/0/ip\n",
    )
}

pub(crate) fn downwardapi_environment_for_pod_uid() -> Case {
    Case::of(json!({ "env": [field("A", "metadata.uid")], "args": ["env", "A"] }), "@/metadata/uid\n")
}

pub(crate) fn downwardapi_environment_for_cpu_and_memory_limits_and_requests() -> Case {
    let env = json!([
        resource("A", "limits.cpu"),
        resource("B", "limits.memory"),
        resource("C", "requests.cpu"),
        resource("D", "requests.memory"),
    ]);
    let args = ["env", "A", "env", "B", "env", "C", "env", "D"];
    Case::of(json!({ "env": env, "args": args, "resources": limits() }), "2\n67108864\n1\n33554432\n")
}

// common/node/expansion

pub(crate) fn environment_variables_expansion() -> Case {
    let env = json!([{ "name": "A", "value": "a" }, { "name": "B", "value": "$(A);;$(A)" }]);
    Case::of(json!({ "env": env, "args": ["env", "B"] }), "a;;a\n")
}

pub(crate) fn environment_variables_command_expansion() -> Case {
    let env = json!([{ "name": "A", "value": "a" }]);
    Case::of(json!({ "env": env, "command": ["/program", "print", "$(A) $$(A) $(B)"] }), "a $(A) $(B)\n")
}

pub(crate) fn environment_variables_command_argument_expansion() -> Case {
    let env = json!([{ "name": "A", "value": "a" }]);
    Case::of(json!({ "env": env, "args": ["print", "-$(A)-"] }), "-a-\n")
}

pub(crate) fn volumesubpathenvexpansion_subpath_expansion() -> Case {
    let mounts = json!([
        { "name": "v", "mountPath": "/part", "subPathExpr": "below/$(A)" }, { "name": "v", "mountPath": "/whole" },
    ]);
    let args = ["write", "/part/file", "found", "cat", "/whole/below/a/file"];
    let env = json!([{ "name": "A", "value": "a" }]);
    Case::of(json!({ "env": env, "args": args, "volumeMounts": mounts }), "found")
        .with_volume(json!({ "emptyDir": {} }))
}

// common/node/kubelet, common/node/runtime

pub(crate) fn kubelet_log_output_default() -> Case {
    Case::steps(&["print", "Hello World"], "Hello World\n")
}

pub(crate) fn kubelet_failed_pod_terminated_reason() -> Case {
    Case::steps(&["print", "ending", "exit", "7"], "ending\n").ends("Failed")
}

// common/node/init_container

pub(crate) fn init_container_starts_app_restartnever_pod() -> Case {
    let mut case = Case::steps(&["list", "/v"], "1 2\n");
    case.spec["initContainers"] = json!([
        container("one", json!({ "args": ["write", "/v/1", ""] })),
        container("two", json!({ "args": ["cat", "/v/1", "write", "/v/2", ""] })),
    ]);
    case.with_volume(json!({ "emptyDir": {} }))
}

// common/storage

pub(crate) fn configmap_volume_without_mapping() -> Case {
    let case = Case::steps(&["cat", "/v/data-1", "cat", "/v/data-2"], "value-1value-2");
    case.with_volume(json!({ "configMap": { "name": "read" } }))
}

pub(crate) fn configmap_volume_with_mapping() -> Case {
    let items = json!([{ "key": "data-2", "path": "path/to/data-2" }]);
    let case = Case::steps(&["cat", "/v/path/to/data-2"], "value-2");
    case.with_volume(json!({ "configMap": { "name": "read", "items": items } }))
}

pub(crate) fn secrets_volume_default() -> Case {
    let case = Case::steps(&["cat", "/v/data-1", "cat", "/v/data-2"], "value-1value-2");
    case.with_volume(json!({ "secret": { "secretName": "read" } }))
}

pub(crate) fn secrets_volume_mapping() -> Case {
    let items = json!([{ "key": "data-1", "path": "new-path-data-1" }]);
    let case = Case::steps(&["cat", "/v/new-path-data-1"], "value-1");
    case.with_volume(json!({ "secret": { "secretName": "read", "items": items } }))
}

pub(crate) fn downwardapi_volume_pod_name() -> Case {
    let items = json!([{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }]);
    Case::steps(&["cat", "/v/name"], "@/metadata/name")
        .with_volume(json!({ "downwardAPI": { "items": items } }))
}

pub(crate) fn downwardapi_volume_cpu_limits() -> Case {
    shown_in_volume("limits.cpu", "2")
}

pub(crate) fn downwardapi_volume_memory_limits() -> Case {
    shown_in_volume("limits.memory", "67108864")
}

pub(crate) fn downwardapi_volume_cpu_request() -> Case {
    shown_in_volume("requests.cpu", "1")
}

pub(crate) fn downwardapi_volume_memory_request() -> Case {
    shown_in_volume("requests.memory", "33554432")
}

fn shown_in_volume(what: &str, writes: &'static str) -> Case {
    let of = json!({ "containerName": "main", "resource": what });
    let items = json!([{ "path": "shown", "resourceFieldRef": of }]);
    let case = Case::of(json!({ "args": ["cat", "/v/shown"], "resources": limits() }), writes);
    case.with_volume(json!({ "downwardAPI": { "items": items } }))
}

pub(crate) fn projected_volume_multiple_projections() -> Case {
    let named = |name: &str| json!({ "name": "read", "items": [{ "key": "data-1", "path": name }] });
    let pod = json!([{ "path": "pod", "fieldRef": { "fieldPath": "metadata.name" } }]);
    let sources = json!([
        { "configMap": named("map") }, { "secret": named("secret") }, { "downwardAPI": { "items": pod } },
    ]);
    let case = Case::steps(
        &["cat", "/v/secret", "cat", "/v/map", "cat", "/v/pod"],
        "value-1value-1projected-volume-multiple-projections",
    );
    case.with_volume(json!({ "projected": { "sources": sources } }))
}

pub(crate) fn emptydir_shared_volumes_between_containers() -> Case {
    let mut case = Case::steps(&["await", "/v/ready", "cat", "/v/file"], "of the other");
    let other = json!({ "args": ["write", "/v/file", "of the other", "write", "/v/ready", ""] });
    case.spec["containers"].as_array_mut().expect("a list").push(container("other", other));
    case.with_volume(json!({ "emptyDir": { "medium": "Memory" } }))
}
