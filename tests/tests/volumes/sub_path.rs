//! Single files of volumes made of files (storage/subpath).

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, Viewer, in_cluster};

use super::objects::{CONFIG_MAP, SECRET};

/// A container reads the file of a volume, mounted at this path.
fn is_read(source: impl FnOnce(&Cluster) -> Value + Send, sub_path: &str, path: &str, content: &str) {
    in_cluster(Options::default(), |cluster| {
        let mut viewer = Viewer::of(&[source(cluster)]);
        viewer.container()["volumeMounts"] =
            json!([{ "name": "v0", "mountPath": path, "subPath": sub_path }]);
        assert_eq!(viewer.shows(cluster, &format!("cat {path}")), content);
    });
}

fn settings(cluster: &Cluster) -> Value {
    CONFIG_MAP.put(cluster, "settings", &json!({ "configmap-key": "configmap-value" }));
    CONFIG_MAP.volume("settings", &json!({}))
}

/// [sig-storage] Subpath Atomic writer volumes should support subpaths with secret pod.
#[test]
fn subpath_reading_content_from_a_secret_volume() {
    let secret = |cluster: &Cluster| {
        SECRET.put(cluster, "login", &json!({ "secret-key": "secret-value" }));
        SECRET.volume("login", &json!({}))
    };
    is_read(secret, "secret-key", "/file", "secret-value");
}

/// [sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod.
#[test]
fn subpath_reading_content_from_a_configmap_volume() {
    is_read(settings, "configmap-key", "/file", "configmap-value");
}

/// [sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of existing file.
#[test]
fn subpath_reading_content_from_a_configmap_volume_at_an_existing_file() {
    is_read(settings, "configmap-key", "/etc/resolv.conf", "configmap-value");
}

/// [sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod.
#[test]
fn subpath_reading_content_from_a_downwardapi_volume() {
    let item = json!({ "path": "downward/podname", "fieldRef": { "fieldPath": "metadata.name" } });
    let source = json!({ "downwardAPI": { "items": [item] } });
    is_read(move |_| source, "downward/podname", "/file", Viewer::NAME);
}

/// [sig-storage] Subpath Atomic writer volumes should support subpaths with projected pod.
#[test]
fn subpath_reading_content_from_a_projected_volume() {
    let projected = |cluster: &Cluster| {
        settings(cluster);
        let items = json!([{ "key": "configmap-key", "path": "projected/configmap-key" }]);
        json!({ "projected": { "sources": [{ "configMap": { "name": "settings", "items": items } }] } })
    };
    is_read(projected, "projected/configmap-key", "/file", "configmap-value");
}

/// A directory that a container exchanges for a link, over and over, never leads the next attempt out of the volume.
#[test]
fn no_link_leads_out_of_a_volume() {
    in_cluster(Options::default(), |cluster| {
        let mut viewer = Viewer::of(&[json!({ "emptyDir": {} })]);
        let mut swapper = viewer.container().clone();
        swapper["name"] = json!("swapper");
        let swap = "ln -s /etc /v0/out; mkdir /v0/in; while true; do mv -T /v0/in /v0/x; mv -T /v0/out /v0/in; \
                    mv -T /v0/in /v0/out; mv -T /v0/x /v0/in; done";
        swapper["command"] = json!(["sh", "-c", swap]);
        let mounts = json!([{ "name": "v0", "mountPath": "/part", "subPath": "in" }]);
        viewer.container()["volumeMounts"] = mounts;
        viewer.container()["command"] = json!(["sh", "-c", "ls -a /part"]);
        viewer.pod["spec"]["containers"] = json!([viewer.container(), swapper]);
        viewer.pod["spec"]["restartPolicy"] = json!("OnFailure");
        cluster.apply(&viewer.pod.to_string());
        let code = "jsonpath={.status.containerStatuses[?(@.name=='main')].state.terminated.exitCode}";
        cluster.kubectl_until(&["get", "pod", Viewer::NAME, "-o", code], |code| code == "0");
        assert_eq!(cluster.kubectl(&["logs", Viewer::NAME, "-c", "main"]), ".\n..\n");
    });
}
