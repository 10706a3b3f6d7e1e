//! ConfigMaps and Secrets as volumes, on their own and projected: what is told of one is true of all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, Viewer, in_cluster};

/// How an object becomes a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    kind: &'static str,
    projected: bool,
}

pub(crate) const CONFIG_MAP: Source = Source { kind: "ConfigMap", projected: false };
pub(crate) const SECRET: Source = Source { kind: "Secret", projected: false };
pub(crate) const PROJECTED_CONFIG_MAP: Source = Source { kind: "ConfigMap", projected: true };
pub(crate) const PROJECTED_SECRET: Source = Source { kind: "Secret", projected: true };

impl Source {
    /// Makes or changes the object, whose text is this.
    pub(crate) fn put(self, cluster: &Cluster, name: &str, text: &Value) {
        let mut object = json!({ "apiVersion": "v1", "kind": self.kind, "metadata": { "name": name } });
        object["data"] = text.clone();
        if self.kind == "Secret" {
            for value in object["data"].as_object_mut().into_iter().flatten().map(|(_, value)| value) {
                *value = json!(STANDARD.encode(value.as_str().unwrap_or_default()));
            }
        }
        cluster.apply(&object.to_string());
    }

    fn delete(self, cluster: &Cluster, name: &str) {
        cluster.kubectl(&["delete", self.kind, name]);
    }

    /// A volume of the object; `more` are fields like `items`, `optional` and `defaultMode`.
    pub(crate) fn volume(self, name: &str, more: &Value) -> Value {
        let mut source = more.clone();
        let name_of = if self.kind == "Secret" && !self.projected { "secretName" } else { "name" };
        source[name_of] = json!(name);
        let field = if self.kind == "Secret" { "secret" } else { "configMap" };
        if !self.projected {
            return json!({ field: source });
        }
        let mode = source.as_object_mut().and_then(|fields| fields.remove("defaultMode"));
        let mut projected = json!({ "sources": [{ field: source }] });
        if let Some(mode) = mode {
            projected["defaultMode"] = mode;
        }
        json!({ "projected": projected })
    }
}

/// What is asked of the one file of a volume.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// The user of the container; root if there is none.
    pub(crate) user: Option<u32>,
    /// The group that files are given to.
    pub(crate) group: Option<u32>,
    /// `defaultMode`.
    pub(crate) mode: Option<u32>,
    /// Whether the key is mapped to another path.
    pub(crate) mapped: bool,
    /// The mode of that mapping.
    pub(crate) item_mode: Option<u32>,
}

/// The file of a key is where it should be, for whom it should be, with this mode.
pub(crate) fn is_consumable(source: Source, asked: Asked, mode: &str) {
    in_cluster(Options::default(), |cluster| {
        source.put(cluster, "object", &json!({ "data-1": "value-1", "data-2": "value-2" }));
        let mut more = json!({});
        if let Some(mode) = asked.mode {
            more["defaultMode"] = json!(mode);
        }
        if asked.mapped {
            more["items"] = json!([{ "key": "data-2", "path": "path/to/data-2" }]);
        }
        if let Some(mode) = asked.item_mode {
            more["items"][0]["mode"] = json!(mode);
        }
        let mut viewer = Viewer::of(&[source.volume("object", &more)]);
        viewer = asked.user.into_iter().fold(viewer, Viewer::as_user);
        viewer = asked.group.into_iter().fold(viewer, Viewer::with_group);
        let (file, text) =
            if asked.mapped { ("/v0/path/to/data-2", "value-2") } else { ("/v0/data-1", "value-1") };
        let shown = viewer.shows(cluster, &format!("stat -Lc %A {file}; cat {file}; echo; id -u; ls /v0"));
        let (user, names) = (asked.user.unwrap_or(0), if asked.mapped { "path" } else { "data-1\ndata-2" });
        assert_eq!(shown, format!("{mode}\n{text}\n{user}\n{names}"));
    });
}

/// A container sees what an object becomes.
pub(crate) fn shows_updates(source: Source) {
    in_cluster(Options::default(), |cluster| {
        source.put(cluster, "object", &json!({ "data-1": "value-1" }));
        Viewer::of(&[source.volume("object", &json!({}))]).start(cluster);
        Viewer::until_shown(cluster, "main", "/v0/data-1", "value-1");
        source.put(cluster, "object", &json!({ "data-1": "value-2" }));
        Viewer::until_shown(cluster, "main", "/v0/data-1", "value-2");
    });
}

/// Optional objects appear, change and go while containers run.
pub(crate) fn shows_optional_updates(source: Source) {
    in_cluster(Options::default(), |cluster| {
        source.put(cluster, "delete", &json!({ "data-1": "value-1" }));
        source.put(cluster, "update", &json!({ "data-1": "value-1" }));
        let names = ["delete", "update", "create"];
        let optional = json!({ "optional": true });
        let mut viewer = Viewer::of(&names.map(|name| source.volume(name, &optional)));
        let container = viewer.container().clone();
        let named = |name: &str| {
            let mut container = container.clone();
            container["name"] = json!(name);
            container
        };
        viewer.pod["spec"]["containers"] = json!(names.map(named));
        viewer.start(cluster);
        Viewer::until_shown(cluster, "delete", "/v0/data-1", "value-1");
        Viewer::until_gone(cluster, "create", "/v2/data-1");
        source.delete(cluster, "delete");
        source.put(cluster, "update", &json!({ "data-3": "value-3" }));
        source.put(cluster, "create", &json!({ "data-1": "value-1" }));
        Viewer::until_shown(cluster, "create", "/v2/data-1", "value-1");
        Viewer::until_shown(cluster, "update", "/v1/data-3", "value-3");
        Viewer::until_gone(cluster, "update", "/v1/data-1");
        Viewer::until_gone(cluster, "delete", "/v0/data-1");
    });
}

/// The same object twice in one Pod.
pub(crate) fn is_consumable_twice(source: Source) {
    in_cluster(Options::default(), |cluster| {
        source.put(cluster, "object", &json!({ "data-1": "value-1" }));
        let volume = source.volume("object", &json!({}));
        let shown = Viewer::of(&[volume.clone(), volume]).shows(cluster, "cat /v0/data-1 /v1/data-1");
        assert_eq!(shown, "value-1value-1");
    });
}
