//! Files of the Container Device Interface: what devices of one kind need in a container.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spec {
    /// Which fields there may be; what is not known here is refused by its name.
    #[serde(rename = "cdiVersion")]
    _version: String,
    /// `vendor/class`.
    pub(super) kind: String,
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
    pub(super) devices: Vec<DeviceEntry>,
    /// What all of its devices need.
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// A device of a file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceEntry {
    pub(super) name: String,
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
    pub(super) container_edits: Edits,
}

/// What is added to a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Edits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<Node>,
    pub(super) mounts: Vec<MountEntry>,
    pub(super) hooks: Vec<HookEntry>,
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<IgnoredAny>,
    pub(super) net_devices: Vec<IgnoredAny>,
}

/// A device node. What the node's own device is, its kind and its numbers, is not repeated from here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) path: String,
    #[serde(default)]
    pub(super) host_path: String,
    #[serde(default)]
    pub(super) permissions: String,
    #[serde(default, rename = "type")]
    _type: String,
    #[serde(default, rename = "major")]
    _major: i64,
    #[serde(default, rename = "minor")]
    _minor: i64,
    #[serde(default, rename = "fileMode")]
    _file_mode: Option<u32>,
    #[serde(default, rename = "uid")]
    _uid: Option<u32>,
    #[serde(default, rename = "gid")]
    _gid: Option<u32>,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MountEntry {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

/// A program that the OCI runtime runs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HookEntry {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    /// In seconds.
    pub(super) timeout: Option<u32>,
}
