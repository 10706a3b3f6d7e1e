//! Who a container's program is, and what it may.

use std::fs;

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster};

use crate::{output_of, pod, until_waiting};

/// The output of a program as root, but for what the security context says.
fn says(context: &Value, script: &str, expected: fn(&str) -> bool) {
    in_cluster(Options::default(), |cluster| {
        let container = json!({ "securityContext": context, "command": ["sh", "-c", script] });
        let output = output_of(cluster, &pod("secure", &container));
        assert!(expected(&output), "{output}");
    });
}

/// [sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534.
#[test]
fn security_context_runasuser_65534() {
    says(&json!({ "runAsUser": 65534 }), "id -u", |output| output == "65534\n");
}

/// [sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when false.
#[test]
fn security_context_privileged_false() {
    let script = "ip link add dummy0 type dummy 2>&1 || true";
    says(&json!({ "privileged": false, "runAsUser": 0 }), script, |output| {
        output.contains("Operation not permitted")
    });
}

/// [sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs
/// when readOnlyRootFilesystem=false.
#[test]
fn security_context_readonlyrootfilesystem_false() {
    let context = json!({ "readOnlyRootFilesystem": false, "runAsUser": 0 });
    says(&context, "touch /file && echo written", |output| output == "written\n");
}

/// [sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation
/// when false: a program that belongs to root and is setuid runs as who started it.
#[test]
fn security_context_allowprivilegeescalation_false() {
    in_cluster(Options::default(), |cluster| {
        let mount = json!([{ "name": "bin", "mountPath": "/setuid" }]);
        let tries = |name: &str, allowed: bool| {
            json!({
                "name": name, "image": crate::IMAGE, "volumeMounts": mount,
                "command": ["sh", "-c", "id -u; /setuid/su root -c true </dev/null 2>&1; true"],
                "securityContext": { "runAsUser": 1000, "allowPrivilegeEscalation": allowed },
            })
        };
        let mut pod = pod("escalating", &json!({}));
        pod["spec"]["containers"] = json!([tries("main", false), tries("free", true)]);
        pod["spec"]["volumes"] = json!([{ "name": "bin", "emptyDir": {} }]);
        let install = "cp /bin/busybox /setuid/su && chmod 4755 /setuid/su";
        pod["spec"]["initContainers"] = json!([{
            "name": "install", "image": crate::IMAGE, "volumeMounts": mount, "command": ["sh", "-c", install],
            "securityContext": { "runAsUser": 0 },
        }]);
        let kept = output_of(cluster, &pod);
        assert!(kept.starts_with("1000\n") && kept.contains("must be suid"), "{kept}");
        let free = cluster.kubectl(&["logs", "escalating", "-c", "free"]);
        assert!(!free.contains("must be suid"), "{free}");
    });
}

/// [sig-node] Security Context should support container.SecurityContext.RunAsUser And
/// container.SecurityContext.RunAsGroup.
#[test]
fn security_context_test_runasgroup_at_container_level() {
    let context = json!({ "runAsUser": 1001, "runAsGroup": 2002 });
    says(&context, "id", |output| output.starts_with("uid=1001 gid=2002"));
}

/// [sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And
/// pod.Spec.SecurityContext.RunAsGroup.
#[test]
fn security_context_test_runasgroup_at_pod_level() {
    in_cluster(Options::default(), |cluster| {
        let mut pod = pod("grouped", &json!({ "command": ["id"] }));
        pod["spec"]["securityContext"] = json!({ "runAsUser": 1001, "runAsGroup": 2002 });
        let output = output_of(cluster, &pod);
        assert!(output.starts_with("uid=1001 gid=2002"), "{output}");
    });
}

#[test]
fn system_calls_are_those_of_the_profile() {
    in_cluster(Options::default(), |cluster| {
        let tries = |name: &str, profile: &Value| {
            let script = "unshare -U true 2>/dev/null && echo made || echo refused; chmod 600 /tmp/. 2>/dev/null && echo changed || echo kept";
            let context = json!({ "runAsUser": 0, "seccompProfile": profile });
            pod(name, &json!({ "command": ["sh", "-c", script], "securityContext": context }))
        };
        let default = tries("default", &json!({ "type": "RuntimeDefault" }));
        assert_eq!(output_of(cluster, &default), "refused\nchanged\n");
        let local = tries("local", &json!({ "type": "Localhost", "localhostProfile": "no-chmod.json" }));
        cluster.apply(&local.to_string());
        until_waiting(cluster, "local", "CreateContainerError");
        cluster.kubectl(&["delete", "pod", "local"]);
        let profiles = cluster.data_dir().join("node/seccomp");
        fs::create_dir_all(&profiles).unwrap();
        let rule = json!({ "names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO" });
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        fs::write(profiles.join("no-chmod.json"), profile.to_string()).unwrap();
        assert_eq!(output_of(cluster, &local), "made\nkept\n");
    });
}

#[test]
fn a_pod_has_users_of_its_own_if_it_asks_for_them() {
    in_cluster(Options::default(), |cluster| {
        let path = "jsonpath={.status.runtimeHandlers[?(@.name==\"runc\")].features.userNamespaces}";
        assert_eq!(cluster.kubectl(&["get", "node", "node-1", "-o", path]), "true");
        let script = "id -u; cat /proc/self/uid_map; cat /conf/key; echo; touch /data/made && stat -c %u /data/made; \
            grep -c ' /proc/sys ' /proc/mounts; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /etc/hosts > /dev/null";
        let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
        let context = json!({ "runAsUser": 0, "procMount": "Unmasked" });
        let container = json!({
            "command": ["sh", "-c", script], "securityContext": context,
            "volumeMounts": [mount("conf", "/conf"), mount("data", "/data"), mount("memory", "/memory")],
        });
        let mut own = pod("own", &container);
        own["spec"]["hostUsers"] = json!(false);
        own["spec"]["securityContext"] =
            json!({ "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "5" }] });
        own["spec"]["volumes"] = json!([
            { "name": "conf", "configMap": { "name": "conf" } },
            { "name": "data", "emptyDir": {} },
            { "name": "memory", "emptyDir": { "medium": "Memory" } },
        ]);
        cluster.kubectl(&["create", "configmap", "conf", "--from-literal=key=value"]);
        let output = output_of(cluster, &own);
        let words: Vec<&str> = output.split_whitespace().collect();
        let [uid, inside, outside, count, rest @ ..] = &words[..] else { panic!("{output}") };
        assert_eq!([*uid, *inside, *outside, *count], ["0", "0", "65536", "65536"]);
        assert_eq!(rest, ["value", "0", "0", "5"]);
    });
}
