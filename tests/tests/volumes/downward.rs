//! Fields of the Pod as files, in a volume of their own and projected: what is told of one is true of both.

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, Viewer, in_cluster};

/// Makes a volume of these items and further fields of the volume.
pub(crate) type Source = fn(items: &Value, default_mode: Option<u32>) -> Value;

fn with_mode(mut source: Value, default_mode: Option<u32>) -> Value {
    if let Some(mode) = default_mode {
        source["defaultMode"] = json!(mode);
    }
    source
}

/// A volume of their own.
pub(crate) fn own(items: &Value, default_mode: Option<u32>) -> Value {
    json!({ "downwardAPI": with_mode(json!({ "items": items }), default_mode) })
}

/// In a projected volume.
pub(crate) fn projected(items: &Value, default_mode: Option<u32>) -> Value {
    let sources = json!({ "sources": [{ "downwardAPI": { "items": items } }] });
    json!({ "projected": with_mode(sources, default_mode) })
}

fn resource(name: &str) -> Value {
    json!([{ "path": "file", "resourceFieldRef": { "containerName": "main", "resource": name } }])
}

/// A resource of the container, rounded up to whole cores or bytes.
pub(crate) fn shows_resource(source: Source, name: &str, shown: &str) {
    in_cluster(Options::default(), |cluster| {
        let mut viewer = Viewer::of(&[source(&resource(name), None)]);
        viewer.container()["resources"] = json!({
            "requests": { "cpu": "250m", "memory": "32Mi" }, "limits": { "cpu": "1250m", "memory": "64Mi" },
        });
        assert_eq!(viewer.shows(cluster, "cat /v0/file"), shown);
    });
}

/// What Pods may use of the node counts as the limit of a container without one.
pub(crate) fn shows_allocatable(source: Source, name: &str) {
    in_cluster(Options::default(), |cluster| {
        let path = format!("jsonpath={{.status.allocatable.{name}}}");
        let allocatable = cluster.kubectl(&["get", "node", "node-1", "-o", &path]);
        let viewer = Viewer::of(&[source(&resource(&format!("limits.{name}")), None)]);
        assert_eq!(viewer.shows(cluster, "cat /v0/file"), whole(&allocatable));
    });
}

/// The quantity without its unit, rounded up.
fn whole(quantity: &str) -> String {
    let number = |text: &str| text.parse::<u64>().expect("allocatable is a number and a unit");
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20)];
    let scaled = units.iter().find_map(|(unit, size)| Some(number(quantity.strip_suffix(unit)?) * size));
    let in_thousandths = || quantity.strip_suffix('m').map(|text| number(text).div_ceil(1000));
    scaled.or_else(in_thousandths).unwrap_or_else(|| number(quantity)).to_string()
}

/// The Pod's name, in a file of this mode.
pub(crate) fn shows_name(source: Source, default_mode: Option<u32>, item_mode: Option<u32>, mode: &str) {
    in_cluster(Options::default(), |cluster| {
        let mut items = json!([{ "path": "file", "fieldRef": { "fieldPath": "metadata.name" } }]);
        if let Some(mode) = item_mode {
            items[0]["mode"] = json!(mode);
        }
        let shown =
            Viewer::of(&[source(&items, default_mode)]).shows(cluster, "stat -Lc %A /v0/file; cat /v0/file");
        assert_eq!(shown, format!("{mode}\n{}", Viewer::NAME));
    });
}

/// Labels or annotations, as they are and as they become.
pub(crate) fn shows_updates(source: Source, field: &str, change: fn(&Cluster)) {
    in_cluster(Options::default(), |cluster| {
        let items = json!([{ "path": "file", "fieldRef": { "fieldPath": format!("metadata.{field}") } }]);
        let mut viewer = Viewer::of(&[source(&items, None)]);
        viewer.pod["metadata"][field] = json!({ "key1": "value1" });
        viewer.start(cluster);
        Viewer::until_shown(cluster, "main", "/v0/file", "key1=\"value1\"");
        change(cluster);
        Viewer::until_shown(cluster, "main", "/v0/file", "key1=\"value1\"\nkey3=\"value3\"");
    });
}

/// One more annotation.
pub(crate) fn annotate(cluster: &Cluster) {
    cluster.kubectl(&["annotate", "pod", Viewer::NAME, "key3=value3"]);
}

/// One more label.
pub(crate) fn label(cluster: &Cluster) {
    cluster.kubectl(&["label", "pod", Viewer::NAME, "key3=value3"]);
}
