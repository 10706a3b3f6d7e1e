//! Images on disk: blobs by digest, and an index from names to images.
//!
//! # Layout
//! `blobs/sha256/HEX` holds content, verified before it got its name; `ingest/` holds what is being fetched, locked by who fetches it;
//! `index.json` maps names to images and is replaced as a whole.
//!
//! # Guarantees
//! A blob under its name is complete and is what its digest says, also after a power failure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wherry_runtime_api::ImageContent;
use wherry_runtime_api::spec::Layer;

use super::signatures::Evidence;

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
    /// The disk is full.
    #[error(
        "no space is left on the disk of {}: remove what is not needed, as `wherry image prune` does with images",
        path.display()
    )]
    Full {
        /// What could not be written.
        path: PathBuf,
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

impl StoreError {
    /// A file operation that failed.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { action, path, source },
        }
    }
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
    /// Whether it stays though nothing uses it.
    #[serde(default)]
    pub(crate) keep: Keep,
    /// What there is to show by whom it is signed.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub(crate) evidence: Evidence,
}

impl Image {
    /// The digests that signatures of it may be of: that of what its name stands for, and that of its manifest.
    pub(crate) fn signed_digests(&self) -> Vec<&str> {
        let top = self.repo_digest.split_once('@').map(|(_, digest)| digest);
        top.into_iter().chain(self.evidence.manifest.as_deref()).collect()
    }

    /// The digest under which runtimes know it.
    pub(crate) fn id(&self) -> &str {
        match &self.kind {
            ImageKind::Wasm { digest, .. } => digest,
            ImageKind::Oci { config, .. } => config,
        }
    }
}

/// Whether an image stays though nothing uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Keep {
    /// It can be fetched again.
    #[default]
    No,
    /// It came from an archive, and may be had nowhere else.
    Imported,
    /// Somebody said so.
    Pinned,
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

type Index = BTreeMap<String, Arc<Image>>;

/// The content store of one node. Several processes may have it open: what one writes the others read when they look.
pub(crate) struct ContentStore {
    root: PathBuf,
    index: Mutex<Index>,
    /// The blobs that images need which are being made ready, and how many do.
    leased: Arc<Mutex<HashMap<String, usize>>>,
    /// The file from which the index was read last.
    seen: Mutex<Option<Signature>>,
}

/// Blobs that are not removed as long as this lives.
pub(crate) struct Lease {
    leased: Arc<Mutex<HashMap<String, usize>>>,
    digests: Mutex<Vec<String>>,
}

impl Lease {
    /// Holds the blob, whether or not it is here yet.
    pub(crate) fn hold(&self, digest: &str) {
        self.digests.lock().push(digest.to_owned());
        *self.leased.lock().entry(digest.to_owned()).or_default() += 1;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leased = self.leased.lock();
        for digest in self.digests.lock().drain(..) {
            if let Some(count) = leased.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    leased.remove(&digest);
                }
            }
        }
    }
}

impl ContentStore {
    /// Opens or makes the store of an agent; what was being fetched by somebody who is gone is thrown away.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::join(root)?;
        let ingest = root.join("ingest");
        let failed = |source| StoreError::io("empty", &ingest, source);
        for entry in std::fs::read_dir(&ingest).map_err(failed)? {
            remove_abandoned(&entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(store)
    }

    /// Opens or makes the store beside whoever has it open.
    pub(crate) fn join(root: &Path) -> Result<Self, StoreError> {
        let ingest = root.join("ingest");
        for dir in [ingest, root.join("blobs/sha256")] {
            std::fs::create_dir_all(&dir)
                .map_err(|source| StoreError::io("create directory", &dir, source))?;
        }
        let store = Self {
            root: root.to_owned(),
            index: Mutex::default(),
            leased: Arc::default(),
            seen: Mutex::default(),
        };
        store.reload(&mut store.index.lock())?;
        Ok(store)
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
        let image = self.fresh().get(name).cloned()?;
        image.kind.digests().into_iter().all(|digest| self.has(digest)).then_some(image)
    }

    /// Every image with the names it goes by.
    pub(crate) fn images(&self) -> BTreeMap<String, Arc<Image>> {
        self.fresh().clone()
    }

    /// A lease of no blobs yet.
    pub(crate) fn lease(&self) -> Lease {
        Lease { leased: self.leased.clone(), digests: Mutex::default() }
    }

    /// Gives the image a name. One that was to stay still is, by all its names.
    pub(crate) fn record(&self, name: &str, mut image: Image) -> Result<Arc<Image>, StoreError> {
        let mut index = self.fresh();
        if index.get(name).is_some_and(|known| **known == Image { keep: known.keep, ..image.clone() })
            && image.keep == Keep::No
        {
            return Ok(index[name].clone());
        }
        let _turn = self.reload_for_change(&mut index)?;
        let known = index.values().filter(|known| known.id() == image.id()).map(|known| known.keep).max();
        image.keep = image.keep.max(known.unwrap_or_default());
        keep(&mut index, image.id(), image.keep);
        let image = Arc::new(image);
        index.insert(name.to_owned(), image.clone());
        self.write_index(&index)?;
        Ok(image)
    }

    /// Says whether the image stays, by all its names.
    pub(crate) fn set_keep(&self, id: &str, wanted: Keep) -> Result<(), StoreError> {
        let mut index = self.index.lock();
        let _turn = self.reload_for_change(&mut index)?;
        keep(&mut index, id, wanted);
        self.write_index(&index)
    }

    /// Forgets all names that `gone` is true of, and removes the blobs that nothing needs any more; the bytes they took.
    pub(crate) fn remove(&self, gone: impl Fn(&str, &Image) -> bool) -> Result<u64, StoreError> {
        let mut index = self.index.lock();
        let _turn = self.reload_for_change(&mut index)?;
        let before: BTreeSet<String> = digests(&index);
        index.retain(|name, image| !gone(name, image));
        self.write_index(&index)?;
        self.remove_blobs(&index, before.iter().map(String::as_str))
    }

    /// Removes those of these blobs that no image needs.
    pub(crate) fn discard<'a>(&self, blobs: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        let mut index = self.index.lock();
        let _turn = self.reload_for_change(&mut index)?;
        self.remove_blobs(&index, blobs).map(drop)
    }

    fn remove_blobs<'a>(
        &self,
        index: &Index,
        blobs: impl IntoIterator<Item = &'a str>,
    ) -> Result<u64, StoreError> {
        let (needed, leased) = (digests(index), self.leased.lock());
        let unneeded =
            blobs.into_iter().filter(|digest| !needed.contains(*digest) && !leased.contains_key(*digest));
        let mut freed = 0;
        for path in unneeded.filter_map(|digest| self.blob_path(digest).ok()) {
            let size = std::fs::metadata(&path).map_or(0, |meta| meta.len());
            match std::fs::remove_file(&path) {
                Ok(()) => freed += size,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::io("remove", &path, source)),
            }
        }
        Ok(freed)
    }

    /// The index as it is on disk. One that cannot be read for now is as it was.
    fn fresh(&self) -> MutexGuard<'_, Index> {
        let mut index = self.index.lock();
        if let Err(error) = self.reload(&mut index) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the image index cannot be read");
        }
        index
    }

    /// Reads the index again if somebody else has written it.
    fn reload(&self, index: &mut Index) -> Result<(), StoreError> {
        let path = self.root.join("index.json");
        let (mut seen, now) = (self.seen.lock(), Signature::of(&path));
        if *seen != now || now.is_none() {
            *index = read_index(&path)?;
            *seen = now;
        }
        Ok(())
    }

    /// Keeps others from changing the index as long as what is returned lives, and reads what they wrote.
    fn reload_for_change(&self, index: &mut Index) -> Result<File, StoreError> {
        let path = self.root.join("lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|source| StoreError::io("lock", &path, source))?;
        self.reload(index)?;
        Ok(lock)
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
        let file = locked_file(&dir);
        let file = file.map_err(|source| StoreError::io("create a file in", &dir, source))?;
        Ok(Ingest { file, hash: Sha256::new(), length: 0 })
    }

    fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        let path = self.root.join("index.json");
        let failed = |source| StoreError::io("write", &path, source);
        let mut file = NamedTempFile::new_in(&self.root).map_err(failed)?;
        serde_json::to_writer(&mut file, index).map_err(|error| failed(error.into()))?;
        file.as_file().sync_data().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        *self.seen.lock() = Signature::of(&path);
        Ok(())
    }
}

/// What tells one version of a file from another that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    inode: u64,
    changed: (i64, i64),
}

impl Signature {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), changed: (meta.ctime(), meta.ctime_nsec()) })
    }
}

/// A new file that counts as used as long as it is open.
fn locked_file(dir: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = NamedTempFile::new_in(dir)?;
        file.as_file().lock()?;
        // Until it was locked, an agent that starts could take it for a leftover.
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes a file of [`locked_file`] that nobody has open.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return gone(Err(error)),
    };
    match file.try_lock() {
        Ok(()) => gone(std::fs::remove_file(path)),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn keep(index: &mut Index, id: &str, wanted: Keep) {
    for image in index.values_mut().filter(|image| image.id() == id && image.keep != wanted) {
        *image = Arc::new(Image { keep: wanted, ..(**image).clone() });
    }
}

fn digests(index: &Index) -> BTreeSet<String> {
    index.values().flat_map(|image| image.kind.digests()).map(str::to_owned).collect()
}

/// An index that cannot be read is an empty one: its images are fetched again.
fn read_index(path: &Path) -> Result<Index, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error = %error, "image index is damaged and starts anew");
            BTreeMap::new()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(StoreError::io("read", path, source)),
    }
}

/// Content that is coming in; dropped unfinished, it leaves nothing behind.
pub(crate) struct Ingest {
    file: NamedTempFile,
    hash: Sha256,
    length: u64,
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Ingest {
    /// The bytes that came in.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_all(bytes).map_err(|source| StoreError::io("write", self.file.path(), source))
    }

    /// Throws away what came in.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        let emptied = self.file.as_file().set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| StoreError::io("empty", self.file.path(), source))?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
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
        let failed = |source| StoreError::io("keep", &path, source);
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

    /// An agent that started while somebody imported took the content away from under them.
    #[test]
    fn an_agent_that_starts_leaves_what_others_are_fetching() {
        let dir = tempfile::tempdir().unwrap();
        let beside = ContentStore::join(dir.path()).unwrap();
        let mut ingest = beside.ingest().unwrap();
        ingest.push(b"hello").unwrap();
        std::fs::write(dir.path().join("ingest/abandoned"), "he").unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("ingest")).unwrap().count(), 1);
        assert!(store.has(&ingest.finish(&beside, None).unwrap()));
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
        let image = Image {
            repo_digest: "r@d".to_owned(),
            size: 4,
            default_args: vec![],
            kind,
            keep: Keep::No,
            evidence: Evidence::default(),
        };
        store.record("name", image.clone()).unwrap();

        let store = ContentStore::open(dir.path()).unwrap();
        assert_eq!(store.lookup("name").as_deref(), Some(&image));
        std::fs::remove_file(store.blob_path(&digest).unwrap()).unwrap();
        assert_eq!(store.lookup("name"), None);
    }
}
