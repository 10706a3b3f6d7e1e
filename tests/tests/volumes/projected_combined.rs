//! All sources in one projected volume (common/storage/projected_combined).

use serde_json::json;
use wherry_tests::{Options, Viewer, in_cluster};

use super::objects::{CONFIG_MAP, SECRET};

/// [sig-storage] Projected combined should project all components that make up the projection API.
#[test]
fn projected_volume_multiple_projections() {
    in_cluster(Options::default(), |cluster| {
        CONFIG_MAP.put(cluster, "settings", &json!({ "configmap-data": "configmap-value-1" }));
        SECRET.put(cluster, "login", &json!({ "secret-data": "secret-value-1" }));
        let resource = |path: &str| {
            let field = json!({ "containerName": "main", "resource": path });
            json!({ "path": path, "resourceFieldRef": field })
        };
        let mut items = vec![json!({ "path": "podname", "fieldRef": { "fieldPath": "metadata.name" } })];
        let resources = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
        items.extend(resources.map(resource));
        let mut viewer = Viewer::of(&[json!({ "projected": { "sources": [
            { "downwardAPI": { "items": items } },
            { "secret": { "name": "login" } },
            { "configMap": { "name": "settings" } },
        ] } })]);
        viewer.container()["resources"] = json!({
            "requests": { "cpu": "1", "memory": "32Mi" }, "limits": { "cpu": "2", "memory": "64Mi" },
        });
        let shown = viewer.shows(cluster, "cd /v0; for file in *; do echo \"$file $(cat $file)\"; done");
        let expected = [
            "configmap-data configmap-value-1",
            "limits.cpu 2",
            "limits.memory 67108864",
            "podname viewer",
            "requests.cpu 1",
            "requests.memory 33554432",
            "secret-data secret-value-1",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    });
}
