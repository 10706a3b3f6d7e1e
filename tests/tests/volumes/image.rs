//! Volumes that show images.

use serde_json::json;
use wherry_tests::pods::BUSYBOX;
use wherry_tests::{Options, Viewer, in_cluster};

/// [sig-node] ImageVolume should succeed with pod and pull policy of Always. Its files are read, whole and by a part of the
/// volume; nobody writes to them or runs them.
#[test]
fn image_volume() {
    in_cluster(Options::default(), |cluster| {
        let image = json!({ "image": { "reference": BUSYBOX, "pullPolicy": "Always" } });
        let mut viewer = Viewer::of(&[image]);
        viewer.container()["volumeMounts"] = json!([
            { "name": "v0", "mountPath": "/whole" },
            { "name": "v0", "mountPath": "/part", "subPath": "etc" },
        ]);
        let script = "cmp /whole/etc/passwd /etc/passwd && cmp /part/passwd /etc/passwd && echo same; \
                      echo x 2>/dev/null >/whole/new || echo read-only; \
                      /whole/bin/busybox true 2>/dev/null || echo not executable";
        assert_eq!(viewer.shows(cluster, script), "same\nread-only\nnot executable");
        let events = cluster.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
        let pulled = events.matches(&format!("Successfully pulled image {BUSYBOX:?}")).count();
        assert!(pulled >= 1, "{events}");
        cluster.kubectl(&["delete", "pod", Viewer::NAME]);
        let missing = json!({ "image": { "reference": "127.0.0.1:5000/nowhere:v1" } });
        let mut viewer = Viewer::of(&[missing]);
        viewer.container()["volumeMounts"] = json!([{ "name": "v0", "mountPath": "/data" }]);
        viewer.create(cluster);
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting}";
        cluster.kubectl_until(&["get", "pod", Viewer::NAME, "-o", waiting], |waiting| {
            waiting.contains("ImagePullBackOff")
                && waiting.contains("pulling image \\\"127.0.0.1:5000/nowhere:v1")
        });
        cluster.kubectl(&["delete", "pod", Viewer::NAME]);
    });
}
