//! The documents of a registry, as far as the node reads them: manifests, indexes, image configurations.
//!
//! They come from outside: everything that may be missing is optional, what is unknown is ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// What a registry accepts as a request for a manifest.
pub(crate) const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Points to a blob or a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub(crate) media_type: String,
    /// `sha256:...` of the content.
    pub(crate) digest: String,
    /// Bytes of the content.
    #[serde(default)]
    pub(crate) size: u64,
    /// In an index: what the manifest is for.
    pub(crate) platform: Option<Platform>,
    /// In the index of an archive: what the image is called.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it points to an image configuration; that of an artifact may be anything.
    pub(crate) fn is_image_config(&self) -> bool {
        let is_image = self.media_type.contains("image") || self.media_type.is_empty();
        !self.digest.is_empty() && is_image
    }
}

/// What an image of an index runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    /// `amd64`, `arm64`, `wasm`.
    #[serde(default)]
    pub(crate) architecture: String,
    /// `linux`, `wasi`.
    #[serde(default)]
    pub(crate) os: String,
}

/// A manifest or an index; an index is what has `manifests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// The image configuration.
    pub(crate) config: Option<Descriptor>,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) layers: Vec<Descriptor>,
    /// The manifests of an index.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An image configuration; an artifact's configuration parses as an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ImageConfig {
    /// `amd64`, `wasm`.
    #[serde(default)]
    pub(crate) architecture: String,
    /// `linux`, `wasi`.
    #[serde(default)]
    pub(crate) os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) config: RunConfig,
}

/// How an image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RunConfig {
    /// The program and its first arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) cmd: Vec<String>,
    /// `NAME=value` pairs.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) env: Vec<String>,
    /// Where the program starts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) labels: BTreeMap<String, String>,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
