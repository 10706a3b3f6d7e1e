//! Who writes /etc/hosts: common/node/kubelet_etc_hosts.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Options, in_cluster};

const MANAGED: &str = "# Kubernetes-managed hosts file.\n";

/// A container that has the node's file at /etc/hosts-original, and at more places.
fn container(name: &str, more: &[&str]) -> Value {
    let places = more.iter().chain(&["/etc/hosts-original"]);
    let mounts: Vec<Value> = places.map(|place| json!({ "name": "hosts", "mountPath": place })).collect();
    with(shell(name, IDLE), json!({ "volumeMounts": mounts }))
}

/// [sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file.
#[test]
fn kubelet_managed_etc_hosts() {
    in_cluster(Options::default(), |cluster| {
        let volumes = json!([{ "name": "hosts", "hostPath": { "path": "/etc/hosts", "type": "File" } }]);
        let containers =
            json!([container("one", &[]), container("two", &[]), container("three", &["/etc/hosts"])]);
        cluster.run_pod("own", &json!({ "containers": containers, "volumes": volumes }));
        let containers = json!([container("one", &[]), container("two", &[])]);
        cluster
            .run_pod("shared", &json!({ "hostNetwork": true, "containers": containers, "volumes": volumes }));
        cluster.wait_for("condition=Ready", &["pod/own", "pod/shared"]);
        let read = |pod, container, path| cluster.kubectl(&["exec", pod, "-c", container, "--", "cat", path]);
        for container in ["one", "two"] {
            assert!(read("own", container, "/etc/hosts").starts_with(MANAGED));
            assert!(!read("shared", container, "/etc/hosts").starts_with(MANAGED));
        }
        assert_eq!(read("own", "three", "/etc/hosts"), read("own", "three", "/etc/hosts-original"));
        assert!(read("shared", "one", "/etc/hosts").ends_with(&read("shared", "one", "/etc/hosts-original")));
    });
}
