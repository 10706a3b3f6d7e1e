//! Images out of archives: OCI layouts and what `docker save` writes, plain or compressed.
//!
//! # Flow
//! Every file of the archive is kept by its digest as it comes, so that an archive is read once and may come from a pipe. What
//! its index or manifest then names becomes images; the rest is removed.
//!
//! # Guarantees
//! Nothing of an archive becomes a path: files are found by their names in a map. A blob that is not what its name says,
//! or that is missing, refuses the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};
use std::path::{Component, Path};

use serde::Deserialize;
use tar::EntryType;
use wherry_oci_runtime::layers::decompress;

use super::classify::{Selection, ShapeError, classify, native_architecture};
use super::index_name;
use super::layer::LayerError;
use super::manifest::{Descriptor, ImageConfig, Manifest};
use super::pull::{MAX_DOCUMENT, kind_of};
use super::reference::{ImageReference, InvalidImageName};
use super::signatures::{
    Evidence, MAX_PAYLOAD, MAX_SIGNATURES, Payload, SIGNATURE, Signature, is_signatures,
};
use super::store::{ContentStore, Image, Keep, Lease, StoreError};

const OCI_INDEX: &str = "index.json";
const DOCKER_MANIFEST: &str = "manifest.json";
const OCI_BLOBS: &str = "blobs/sha256/";
/// Where archives say what an image is called: as containerd, and as the OCI specification.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// How deep indexes may lie in each other.
const MAX_DEPTH: u32 = 3;

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// It cannot be read.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("the archive has neither index.json (an OCI layout) nor manifest.json (docker save)")]
    Form,
    /// A document cannot be parsed.
    #[error("cannot parse {what} of the archive")]
    Parse {
        /// Which document.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A document is too large.
    #[error("{0} of the archive is larger than 4 MiB")]
    TooLarge(String),
    /// Something that is named is not there.
    #[error("the archive names {0:?}, which is not in it")]
    Missing(String),
    /// No image in it has a name.
    #[error("no image in the archive has a name: give it one when it is written, as in docker save NAME")]
    Nameless,
    /// Nothing of it runs here.
    #[error("the archive has no image of {0:?} for this machine")]
    Platform(String),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] InvalidImageName),
    /// Content cannot be kept, or is not what its name says.
    #[error("cannot keep content")]
    Store(#[from] StoreError),
    /// An image is of no shape that can run.
    #[error("unusable image")]
    Shape(#[from] ShapeError),
    /// The binary cannot be taken out of an image.
    #[error("cannot find the WebAssembly binary")]
    Layer(#[from] LayerError),
}

#[derive(Deserialize)]
struct DockerImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// What was read of an archive.
#[derive(Default)]
struct Contents {
    /// The digest and length of each file.
    files: BTreeMap<String, (String, u64)>,
    /// What symbolic links lead to: older versions of docker write each layer once.
    links: BTreeMap<String, String>,
    /// The documents that say what there is.
    documents: BTreeMap<&'static str, Vec<u8>>,
}

/// Takes the images of an archive into the store; their complete names. Blocks.
pub(super) fn import(store: &ContentStore, archive: impl BufRead) -> Result<Vec<String>, ImportError> {
    let lease = store.lease();
    let mut contents = Contents::default();
    let result =
        contents.read(store, &lease, archive).and_then(|()| Importer::new(store, &contents).images());
    let digests: BTreeSet<&str> = contents.files.values().map(|(digest, _)| digest.as_str()).collect();
    drop(lease);
    store.discard(digests)?;
    result
}

impl Contents {
    fn read(
        &mut self,
        store: &ContentStore,
        lease: &Lease,
        archive: impl BufRead,
    ) -> Result<(), ImportError> {
        let reader = decompress(archive).map_err(ImportError::Read)?;
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(ImportError::Read)? {
            let mut entry = entry.map_err(ImportError::Read)?;
            let name = clean(&entry.path().map_err(ImportError::Read)?);
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => self.file(store, lease, &name, &mut entry)?,
                EntryType::Symlink | EntryType::Link => {
                    let is_hard = entry.header().entry_type() == EntryType::Link;
                    if let Some(target) = entry.link_name().map_err(ImportError::Read)? {
                        let home = Path::new(&name).parent().filter(|_| !is_hard).unwrap_or(Path::new(""));
                        self.links.insert(name.clone(), clean(&home.join(target)));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        store: &ContentStore,
        lease: &Lease,
        name: &str,
        data: &mut impl Read,
    ) -> Result<(), ImportError> {
        if let Some(document) = [OCI_INDEX, DOCKER_MANIFEST].into_iter().find(|document| *document == name) {
            self.documents.insert(document, bounded(data, name)?);
            return Ok(());
        }
        let mut ingest = store.ingest()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match data.read(&mut buffer).map_err(ImportError::Read)? {
                0 => break,
                length => ingest.push(&buffer[..length])?,
            }
        }
        let length = ingest.length();
        let expected = name.strip_prefix(OCI_BLOBS).map(|hex| format!("sha256:{hex}"));
        let digest = ingest.finish(store, expected.as_deref())?;
        lease.hold(&digest);
        self.files.insert(name.to_owned(), (digest, length));
        Ok(())
    }

    fn file_at(&self, name: &str) -> Result<&(String, u64), ImportError> {
        let name = clean(Path::new(name));
        let name = self.links.get(&name).unwrap_or(&name);
        self.files.get(name).ok_or_else(|| ImportError::Missing(name.clone()))
    }
}

/// A name without what has no meaning in it; what leads upwards takes a part away, and never more than there is.
fn clean(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

fn bounded(data: &mut impl Read, name: &str) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let length = data.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(ImportError::Read)?;
    if length as u64 > MAX_DOCUMENT {
        return Err(ImportError::TooLarge(name.to_owned()));
    }
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, ImportError> {
    serde_json::from_slice(bytes).map_err(|source| ImportError::Parse { what: what.to_owned(), source })
}

/// Makes images of what was read.
struct Importer<'a> {
    store: &'a ContentStore,
    contents: &'a Contents,
    /// All signatures in the archive, each with the digest it is of.
    signatures: Vec<(String, Signature)>,
}

/// What a manifest is of.
struct Origin<'a> {
    /// What the image is called.
    reference: &'a ImageReference,
    /// What it is called for good.
    repo_digest: &'a str,
    /// The digest of the manifest, if it has one that was ever told.
    digest: Option<String>,
}

impl<'a> Importer<'a> {
    fn new(store: &'a ContentStore, contents: &'a Contents) -> Self {
        Self { store, contents, signatures: Vec::new() }
    }

    fn images(mut self) -> Result<Vec<String>, ImportError> {
        // What docker writes today is both; its manifest has the names as they were given.
        let names =
            match (self.contents.documents.get(DOCKER_MANIFEST), self.contents.documents.get(OCI_INDEX)) {
                (Some(manifest), _) => self.of_docker(parse(DOCKER_MANIFEST, manifest)?)?,
                (None, Some(index)) => {
                    let index: Manifest = parse(OCI_INDEX, index)?;
                    self.signatures = self.signatures_of(&index)?;
                    self.of_layout(&index)?
                }
                (None, None) => return Err(ImportError::Form),
            };
        if names.is_empty() { Err(ImportError::Nameless) } else { Ok(names) }
    }

    fn of_docker(&self, images: Vec<DockerImage>) -> Result<Vec<String>, ImportError> {
        let mut names = Vec::new();
        for image in images {
            let descriptor = |name: &String| -> Result<Descriptor, ImportError> {
                let (digest, size) = self.contents.file_at(name)?.clone();
                Ok(Descriptor {
                    media_type: TAR.to_owned(),
                    digest,
                    size,
                    platform: None,
                    ..Descriptor::default()
                })
            };
            let config = Descriptor { media_type: String::new(), ..descriptor(&image.config)? };
            let layers = image.layers.iter().map(descriptor).collect::<Result<_, _>>()?;
            let id = config.digest.clone();
            let manifest = Manifest { config: Some(config), layers, ..Manifest::default() };
            for tag in image.tags.unwrap_or_default() {
                let reference = ImageReference::parse(&tag)?;
                // There is no manifest whose digest could be told.
                let origin = Origin { reference: &reference, repo_digest: &id, digest: None };
                self.record(&origin, &manifest, &Selection::ALL)?;
                names.push(reference.full_name());
            }
        }
        Ok(names)
    }

    /// The signatures that came along, as `cosign save` writes them or copied as images of their own.
    fn signatures_of(&self, index: &Manifest) -> Result<Vec<(String, Signature)>, ImportError> {
        let mut found = Vec::new();
        for manifest in index.manifests.iter().filter_map(|descriptor| self.signatures_at(descriptor)) {
            for layer in manifest.layers.iter().filter(|layer| layer.size <= MAX_PAYLOAD) {
                let Some(signature) = layer.annotations.get(SIGNATURE) else { continue };
                let Ok(payload) = String::from_utf8(self.document(&layer.digest)?) else { continue };
                if let Some(about) = Payload::parse(&payload) {
                    found.push((about.digest, Signature { payload, signature: signature.clone() }));
                }
            }
        }
        Ok(found)
    }

    /// The manifest there, if it is one of signatures.
    fn signatures_at(&self, descriptor: &Descriptor) -> Option<Manifest> {
        let manifest: Manifest = parse("a manifest", &self.document(&descriptor.digest).ok()?).ok()?;
        is_signatures(&manifest).then_some(manifest)
    }

    fn of_layout(&self, index: &Manifest) -> Result<Vec<String>, ImportError> {
        let mut names = Vec::new();
        for descriptor in &index.manifests {
            if self.signatures_at(descriptor).is_some() {
                continue;
            }
            let name = NAMES.iter().find_map(|key| descriptor.annotations.get(*key));
            // A name of the OCI specification may be a tag alone.
            let Some(name) = name.filter(|name| name.contains(['/', ':'])) else { continue };
            let reference = ImageReference::parse(name)?;
            let repo_digest = reference.repo_digest(&descriptor.digest);
            let mut found = false;
            for selection in Selection::ALL {
                if let Some((manifest, digest)) = self.manifest(descriptor, selection, MAX_DEPTH)? {
                    let (reference, repo_digest) = (&reference, repo_digest.as_str());
                    let origin = Origin { reference, repo_digest, digest: Some(digest) };
                    self.record(&origin, &manifest, &[selection])?;
                    found = true;
                }
            }
            if !found {
                return Err(ImportError::Platform(name.clone()));
            }
            names.push(reference.full_name());
        }
        Ok(names)
    }

    /// The manifest behind a descriptor: itself, or the one chosen of an index.
    fn manifest(
        &self,
        descriptor: &Descriptor,
        selection: Selection,
        depth: u32,
    ) -> Result<Option<(Manifest, String)>, ImportError> {
        let manifest: Manifest = parse("a manifest", &self.document(&descriptor.digest)?)?;
        if manifest.manifests.is_empty() {
            return Ok(Some((manifest, descriptor.digest.clone())));
        }
        match selection.choose(&manifest.manifests, native_architecture()) {
            Some(chosen) if depth > 0 && self.store.has(&chosen.digest) => {
                self.manifest(&chosen, selection, depth - 1)
            }
            _ => Ok(None),
        }
    }

    fn document(&self, digest: &str) -> Result<Vec<u8>, ImportError> {
        let path = self.store.blob_path(digest)?;
        let file = std::fs::File::open(&path).map_err(|_| ImportError::Missing(digest.to_owned()))?;
        bounded(&mut { file }, digest)
    }

    fn record(
        &self,
        origin: &Origin<'_>,
        manifest: &Manifest,
        selections: &[Selection],
    ) -> Result<(), ImportError> {
        let descriptor = manifest.config.clone().unwrap_or_default();
        for needed in manifest.layers.iter().chain([&descriptor]).filter(|needed| !needed.digest.is_empty()) {
            if !self.store.has(&needed.digest) {
                return Err(ImportError::Missing(needed.digest.clone()));
            }
        }
        let config = if descriptor.is_image_config() {
            parse("an image configuration", &self.document(&descriptor.digest)?)?
        } else {
            ImageConfig::default()
        };
        let shape = classify(manifest, &config)?;
        let (kind, size) = kind_of(self.store, shape, manifest, &config)?;
        let default_args = super::pull::default_args(&kind, config);
        let evidence = Evidence { manifest: origin.digest.clone(), signatures: Vec::new() };
        let repo_digest = origin.repo_digest.to_owned();
        let mut image = Image { repo_digest, size, default_args, kind, keep: Keep::Imported, evidence };
        image.evidence.signatures = self.signatures_for(&image);
        for selection in selections {
            self.store.record(&index_name(origin.reference, *selection), image.clone())?;
        }
        Ok(())
    }

    fn signatures_for(&self, image: &Image) -> Vec<Signature> {
        let digests = image.signed_digests();
        let of_it = self.signatures.iter().filter(|(digest, _)| digests.contains(&digest.as_str()));
        of_it.take(MAX_SIGNATURES).map(|(_, signature)| signature.clone()).collect()
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
