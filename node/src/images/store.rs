//! Images on disk: blobs by digest, and an index from names to images.
//!
//! # Layout
//! `blobs/sha256/HEX` holds content, verified before it got its name; `ingest/` holds what is being fetched;
//! `index.json` maps names to images and is replaced as a whole.
//!
//! # Guarantees
//! A blob under its name is complete and is what its digest says, also after a power failure.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wherry_runtime_api::ImageContent;
use wherry_runtime_api::spec::Layer;

/// A step of keeping content failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The content is not what was asked for.
    #[error("content does not match its digest: expected {expected}, received {found}")]
    Mismatch {
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// A digest of an unknown kind or form.
    #[error("unsupported digest {0:?}: expected sha256 and 64 hexadecimal digits")]
    Digest(String),
}

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Image {
    /// `registry/repository@digest`: the image id of container statuses.
    pub(crate) repo_digest: String,
    /// Bytes fetched for it, as the registry counts them.
    pub(crate) size: u64,
    /// Arguments used when the container gives neither command nor arguments (wasm only; runc reads the config).
    pub(crate) default_args: Vec<String>,
    /// What it is.
    pub(crate) kind: ImageKind,
}

/// What an image consists of, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ImageKind {
    /// A WebAssembly binary.
    Wasm {
        /// The binary.
        digest: String,
        /// The entrypoint of the image config.
        entrypoint: Vec<String>,
        /// The environment of the image config.
        env: Vec<String>,
    },
    /// An OCI image.
    Oci {
        /// The image config.
        config: String,
        /// Digest and media type of each layer, lowest first.
        layers: Vec<(String, String)>,
    },
}

impl ImageKind {
    fn digests(&self) -> Vec<&str> {
        match self {
            Self::Wasm { digest, .. } => vec![digest],
            Self::Oci { config, layers } => std::iter::once(config)
                .chain(layers.iter().map(|(digest, _)| digest))
                .map(String::as_str)
                .collect(),
        }
    }
}

/// The content store of one node.
pub(crate) struct ContentStore {
    root: PathBuf,
    index: Mutex<BTreeMap<String, Arc<Image>>>,
}

impl ContentStore {
    /// Opens or makes the store; what was being fetched when the agent stopped is thrown away.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let ingest = root.join("ingest");
        match std::fs::remove_dir_all(&ingest) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::Io { action: "empty", path: ingest, source }),
        }
        for dir in [ingest, root.join("blobs/sha256")] {
            std::fs::create_dir_all(&dir).map_err(|source| StoreError::Io {
                action: "create directory",
                path: dir,
                source,
            })?;
        }
        let index = read_index(&root.join("index.json"))?;
        Ok(Self { root: root.to_owned(), index: Mutex::new(index) })
    }

    /// Where the blob is, or would be.
    pub(crate) fn blob_path(&self, digest: &str) -> Result<PathBuf, StoreError> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        match hex {
            Some(hex) if hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) => {
                Ok(self.root.join("blobs/sha256").join(hex))
            }
            _ => Err(StoreError::Digest(digest.to_owned())),
        }
    }

    /// Whether the blob is here.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.blob_path(digest).is_ok_and(|path| path.exists())
    }

    /// The image of this name, if all its content is here.
    pub(crate) fn lookup(&self, name: &str) -> Option<Arc<Image>> {
        let image = self.index.lock().get(name).cloned()?;
        image.kind.digests().into_iter().all(|digest| self.has(digest)).then_some(image)
    }

    /// Every image with the names it goes by.
    pub(crate) fn images(&self) -> BTreeMap<String, Arc<Image>> {
        self.index.lock().clone()
    }

    /// Gives the image a name.
    pub(crate) fn record(&self, name: &str, image: Image) -> Result<Arc<Image>, StoreError> {
        let image = Arc::new(image);
        let mut index = self.index.lock();
        if index.get(name) == Some(&image) {
            return Ok(image);
        }
        index.insert(name.to_owned(), image.clone());
        self.write_index(&index)?;
        Ok(image)
    }

    /// The image as a runtime takes it.
    pub(crate) fn content(&self, image: &Image) -> Result<ImageContent, StoreError> {
        match &image.kind {
            ImageKind::Wasm { digest, entrypoint, env } => Ok(ImageContent::Wasm {
                digest: digest.clone(),
                path: self.blob_path(digest)?,
                entrypoint: entrypoint.clone(),
                env: env.clone(),
            }),
            ImageKind::Oci { config, layers } => {
                let layers = layers.iter().map(|(digest, media_type)| self.layer(digest, media_type));
                Ok(ImageContent::Oci {
                    digest: config.clone(),
                    config: self.blob_path(config)?,
                    layers: layers.collect::<Result<_, _>>()?,
                })
            }
        }
    }

    fn layer(&self, digest: &str, media_type: &str) -> Result<Layer, StoreError> {
        let path = self.blob_path(digest)?;
        Ok(Layer { digest: digest.to_owned(), media_type: media_type.to_owned(), path })
    }

    /// A place for content that is coming in.
    pub(crate) fn ingest(&self) -> Result<Ingest, StoreError> {
        let dir = self.root.join("ingest");
        let file = NamedTempFile::new_in(&dir).map_err(|source| StoreError::Io {
            action: "create a file in",
            path: dir,
            source,
        })?;
        Ok(Ingest { file, hash: Sha256::new() })
    }

    fn write_index(&self, index: &BTreeMap<String, Arc<Image>>) -> Result<(), StoreError> {
        let path = self.root.join("index.json");
        let failed = |source| StoreError::Io { action: "write", path: path.clone(), source };
        let mut file = NamedTempFile::new_in(&self.root).map_err(failed)?;
        serde_json::to_writer(&mut file, index).map_err(|error| failed(error.into()))?;
        file.as_file().sync_data().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// An index that cannot be read is an empty one: its images are fetched again.
fn read_index(path: &Path) -> Result<BTreeMap<String, Arc<Image>>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error = %error, "image index is damaged and starts anew");
            BTreeMap::new()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Content that is coming in; dropped unfinished, it leaves nothing behind.
pub(crate) struct Ingest {
    file: NamedTempFile,
    hash: Sha256,
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Ingest {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.file.path().to_owned();
        self.write_all(bytes).map_err(|source| StoreError::Io { action: "write", path, source })
    }

    /// Verifies the content against `expected`, if there is an expectation, and keeps it under its digest.
    pub(crate) fn finish(self, store: &ContentStore, expected: Option<&str>) -> Result<String, StoreError> {
        let found = format!("sha256:{}", hex::encode(self.hash.finalize()));
        if let Some(expected) = expected
            && expected != found
        {
            return Err(StoreError::Mismatch { expected: expected.to_owned(), found });
        }
        let path = store.blob_path(&found)?;
        let failed = |source| StoreError::Io { action: "keep", path: path.clone(), source };
        self.file.as_file().sync_data().map_err(failed)?;
        self.file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_kept_only_under_its_own_digest() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let mut ingest = store.ingest().unwrap();
        ingest.push(b"hello").unwrap();
        let wrong = format!("sha256:{}", "0".repeat(64));
        let error = ingest.finish(&store, Some(&wrong)).unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
        assert_eq!(std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(dir.path().join("ingest")).unwrap().count(), 0);

        let mut ingest = store.ingest().unwrap();
        ingest.push(b"hel").unwrap();
        ingest.push(b"lo").unwrap();
        let digest = ingest.finish(&store, None).unwrap();
        assert_eq!(digest, "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert!(store.has(&digest));
    }

    #[test]
    fn digests_are_no_paths() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        for digest in ["sha256:../../etc/passwd", "md5:x", "", &format!("sha256:{}", "G".repeat(64))] {
            assert!(store.blob_path(digest).is_err(), "{digest}");
        }
    }

    #[test]
    fn an_image_is_found_again_after_reopening_and_only_while_its_content_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let mut ingest = store.ingest().unwrap();
        ingest.push(b"\0asm").unwrap();
        let digest = ingest.finish(&store, None).unwrap();
        let kind = ImageKind::Wasm { digest: digest.clone(), entrypoint: vec![], env: vec![] };
        let image = Image { repo_digest: "r@d".to_owned(), size: 4, default_args: vec![], kind };
        store.record("name", image.clone()).unwrap();

        let store = ContentStore::open(dir.path()).unwrap();
        assert_eq!(store.lookup("name").as_deref(), Some(&image));
        std::fs::remove_file(store.blob_path(&digest).unwrap()).unwrap();
        assert_eq!(store.lookup("name"), None);
    }
}
