//! Images into archives, which other tools and [`super::import`] read: OCI layouts, and what `docker load` takes.
//!
//! # Guarantees
//! The same images make the same bytes. A blob that two images share is in the archive once.
//!
//! # Caveats
//! Manifests of registries are not kept, so they are written anew: the digest of an image's configuration, by which it is known on
//! nodes, stays what it was, that of its manifest does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::classify::native_architecture;
use super::reference::ImageReference;
use super::store::{ContentStore, Image, ImageKind, Lease, StoreError};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const WASM_LAYER: &str = "application/wasm";

/// Why no archive was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The image is not here.
    #[error("there is no image {0:?} on this node; `wherry image pull` fetches it")]
    Missing(String),
    /// It cannot be in such an archive.
    #[error("{0:?} is WebAssembly, which an archive of the form docker cannot hold; leave --format out")]
    Form(String),
    /// Its content cannot be read.
    #[error("cannot read what the image consists of")]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// How images lie in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveForm {
    /// An OCI layout.
    #[default]
    Oci,
    /// As `docker save` writes it; read by `docker load` of any age.
    Docker,
}

/// Writes the images of these names. Blocks.
pub(super) fn export(
    store: &ContentStore,
    names: &[ImageReference],
    form: ArchiveForm,
    out: impl Write,
) -> Result<(), ExportError> {
    let lease = store.lease();
    let mut content = Content { store, lease, files: BTreeMap::new(), blobs: BTreeMap::new() };
    let found = names.iter().map(|name| Ok((name.full_name(), content.images(name)?)));
    let found = found.collect::<Result<Vec<_>, ExportError>>()?;
    match form {
        ArchiveForm::Oci => content.layout(&found)?,
        ArchiveForm::Docker => content.docker(&found)?,
    }
    content.write(out)
}

/// What is going to be in an archive.
struct Content<'a> {
    store: &'a ContentStore,
    lease: Lease,
    /// Documents, by their names in the archive.
    files: BTreeMap<String, Vec<u8>>,
    /// Blobs of the store, with their lengths.
    blobs: BTreeMap<String, u64>,
}

impl Content<'_> {
    /// The images of this name: one, or one for each of several platforms.
    fn images(&self, name: &ImageReference) -> Result<Vec<Arc<Image>>, ExportError> {
        let name = name.full_name();
        let mut found = Vec::new();
        let mut ids = BTreeSet::new();
        for (key, image) in self.store.images() {
            let is_named = key.split('#').next() == Some(&name) || image.repo_digest == name;
            if is_named && ids.insert(image.id().to_owned()) && self.store.lookup(&key).is_some() {
                found.push(image);
            }
        }
        if found.is_empty() { Err(ExportError::Missing(name)) } else { Ok(found) }
    }

    /// An OCI layout: an index of names, each of which leads to a manifest or to an index of platforms.
    fn layout(&mut self, images: &[(String, Vec<Arc<Image>>)]) -> Result<(), ExportError> {
        let mut listed = Vec::new();
        for (name, platforms) in images {
            let manifests = platforms.iter().map(|image| self.manifest(image));
            let mut manifests = manifests.collect::<Result<Vec<_>, _>>()?;
            let mut descriptor = match (manifests.len(), manifests.pop()) {
                (1, Some(only)) => only,
                (_, last) => {
                    manifests.extend(last);
                    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
                    self.document(INDEX, &index)
                }
            };
            descriptor["annotations"] =
                json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
            listed.push(descriptor);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed});
        self.files.insert("index.json".to_owned(), index.to_string().into_bytes());
        self.files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        Ok(())
    }

    /// The manifest of an image; its descriptor.
    fn manifest(&mut self, image: &Image) -> Result<Value, ExportError> {
        let (config, layers, platform) = match &image.kind {
            ImageKind::Oci { config, layers } => {
                let config = self.blob(config, CONFIG)?;
                let layers = layers.iter().map(|(digest, media_type)| self.blob(digest, media_type));
                let platform = json!({"os": "linux", "architecture": native_architecture()});
                (config, layers.collect::<Result<Vec<_>, _>>()?, platform)
            }
            ImageKind::Wasm { digest, entrypoint, env } => {
                let platform = json!({"os": "wasip1", "architecture": "wasm"});
                let run = json!({"Entrypoint": entrypoint, "Env": env, "Cmd": image.default_args});
                let rootfs = json!({"type": "layers", "diff_ids": [digest]});
                let config = json!({"os": "wasip1", "architecture": "wasm", "config": run, "rootfs": rootfs});
                (self.document(CONFIG, &config), vec![self.blob(digest, WASM_LAYER)?], platform)
            }
        };
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.document(MANIFEST, &manifest);
        descriptor["platform"] = platform;
        Ok(descriptor)
    }

    /// What `docker save` writes.
    fn docker(&mut self, images: &[(String, Vec<Arc<Image>>)]) -> Result<(), ExportError> {
        let mut listed = Vec::new();
        for (name, platforms) in images {
            for image in platforms {
                let ImageKind::Oci { config, layers } = &image.kind else {
                    return Err(ExportError::Form(name.clone()));
                };
                self.blob(config, CONFIG)?;
                for (digest, media_type) in layers {
                    self.blob(digest, media_type)?;
                }
                let layers: Vec<String> = layers.iter().map(|(digest, _)| path_of(digest)).collect();
                listed.push(json!({"Config": path_of(config), "RepoTags": [name], "Layers": layers}));
            }
        }
        self.files.insert("manifest.json".to_owned(), Value::from(listed).to_string().into_bytes());
        Ok(())
    }

    /// Has a blob of the store in the archive; its descriptor.
    fn blob(&mut self, digest: &str, media_type: &str) -> Result<Value, ExportError> {
        self.lease.hold(digest);
        let path = self.store.blob_path(digest)?;
        let meta = std::fs::metadata(&path).map_err(|source| StoreError::io("read", &path, source))?;
        self.blobs.insert(digest.to_owned(), meta.len());
        Ok(json!({"mediaType": media_type, "digest": digest, "size": meta.len()}))
    }

    /// Has a document among the blobs; its descriptor.
    fn document(&mut self, media_type: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.files.insert(path_of(&digest), bytes);
        descriptor
    }

    fn write(self, out: impl Write) -> Result<(), ExportError> {
        let mut archive = Builder::new(out);
        for (name, bytes) in &self.files {
            append(&mut archive, name, bytes.len() as u64, bytes.as_slice()).map_err(ExportError::Write)?;
        }
        for (digest, length) in &self.blobs {
            let path = self.store.blob_path(digest)?;
            let file = File::open(&path).map_err(|source| StoreError::io("open", &path, source))?;
            append(&mut archive, &path_of(digest), *length, file).map_err(ExportError::Write)?;
        }
        archive.into_inner().and_then(|mut out| out.flush()).map_err(ExportError::Write)
    }
}

/// Where a blob lies in an archive.
fn path_of(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

fn append(archive: &mut Builder<impl Write>, name: &str, length: u64, content: impl Read) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(length);
    archive.append_data(&mut header, name, content)
}

#[cfg(test)]
mod tests;
