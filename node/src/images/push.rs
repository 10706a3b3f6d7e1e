//! Sends a WebAssembly file to a registry, as an artifact of the CNCF's layout.
//!
//! ```text
//! manifest: config application/vnd.wasm.config.v0+json  {created, architecture: wasm, os: wasip1|wasip2, layerDigests, component}
//!           layer  application/wasm                     the file
//! ```

use serde_json::json;
use sha2::{Digest, Sha256};

use super::pull::{PullError, connect};
use super::reference::ImageReference;
use super::registries::Registries;
use super::registry::{Account, Document, RegistryError};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct WasmArtifact {
    /// The file.
    pub bytes: Vec<u8>,
    /// Of a component, what it imports and exports; a module has none.
    pub component: Option<Interfaces>,
    /// When it was made, in the words of RFC 3339.
    pub created: String,
}

/// What a component has to do with others.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// Why a file was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// The registry cannot be spoken to.
    #[error(transparent)]
    Connect(#[from] PullError),
    /// The configuration cannot be written.
    #[error("cannot write the configuration")]
    Config(#[from] serde_json::Error),
    /// The registry refused it, or went away.
    #[error("the registry {host:?} did not take it")]
    Refused { host: String, source: Box<RegistryError> },
}

/// Sends the file; the name under which it can be pulled, with its digest.
pub(super) async fn push(
    registries: &Registries,
    reference: &ImageReference,
    artifact: WasmArtifact,
) -> Result<String, PushError> {
    let (_, registry) = registries.endpoints(reference, &Account::Nobody);
    let client = connect(&registry)?;
    let config = document(CONFIG, config(&artifact)?);
    let layer = document(LAYER, artifact.bytes);
    let manifest = document(MANIFEST, serde_json::to_vec(&manifest(&config, &layer))?);
    let (repository, tag) = (registry.reference.repository(), registry.reference.tag());
    let refused =
        |source| PushError::Refused { host: registry.server.host.clone(), source: Box::new(source) };
    for blob in [&layer, &config] {
        client.upload(repository, blob).await.map_err(refused)?;
    }
    let name = tag.unwrap_or(&manifest.digest);
    client.put_manifest(repository, name, &manifest).await.map_err(refused)?;
    Ok(reference.repo_digest(&manifest.digest))
}

fn document(media_type: &str, bytes: Vec<u8>) -> Document {
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    Document { digest, media_type: media_type.to_owned(), bytes: bytes.into() }
}

fn manifest(config: &Document, layer: &Document) -> serde_json::Value {
    let [config, layer] = [config, layer].map(|document| {
        json!({ "mediaType": document.media_type, "digest": document.digest, "size": document.bytes.len() })
    });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] })
}

fn config(artifact: &WasmArtifact) -> serde_json::Result<Vec<u8>> {
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&artifact.bytes)));
    let mut config = json!({
        "created": artifact.created,
        "architecture": "wasm",
        "os": if artifact.component.is_some() { "wasip2" } else { "wasip1" },
        "layerDigests": [digest],
    });
    if let Some(component) = &artifact.component {
        config["component"] =
            json!({ "imports": component.imports, "exports": component.exports, "target": null });
    }
    serde_json::to_vec(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_what_a_component_has_to_do_with_others() {
        let interfaces = Interfaces { imports: vec!["a:b/c".into()], exports: vec!["d:e/f".into()] };
        let created = "2026-01-02T03:04:05Z".to_owned();
        let artifact = WasmArtifact { bytes: b"x".to_vec(), component: Some(interfaces), created };
        let written: serde_json::Value = serde_json::from_slice(&config(&artifact).unwrap()).unwrap();
        let digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(
            written,
            json!({
                "created": "2026-01-02T03:04:05Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
                "component": { "imports": ["a:b/c"], "exports": ["d:e/f"], "target": null },
            })
        );
        let module = config(&WasmArtifact { component: None, ..artifact }).unwrap();
        let module: serde_json::Value = serde_json::from_slice(&module).unwrap();
        assert_eq!((&module["os"], module.get("component")), (&json!("wasip1"), None));
    }
}
