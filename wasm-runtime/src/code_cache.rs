//! Compiled code on disk.
//!
//! ```text
//! <data dir>/code.key                   the key of this node's seals
//! <data dir>/code/<engine>/<digest>     code compiled here, and its seal
//! <data dir>/imported/<digest>.<n>      code that was imported, and its seal
//! ```
//! `<engine>` is a digest of all that compiled code depends on (version, target, settings), so that no other engine
//! reads it; directories of other engines are removed, but for a node without a compiler, which tries them all. The seal covers
//! engine, digest and code: a file that was cut short, changed, renamed or brought from elsewhere is not used and made anew. Directories are
//! accessible to their owner alone, and only code compiled here, or [imported](crate::imported), is ever written to them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::Engine;

use crate::imported::ImportedCode;
use crate::seal::Sealer;

/// The compiled code of a node.
#[derive(Debug)]
pub(crate) struct CodeCache {
    sealer: Sealer,
    root: PathBuf,
    /// The names of the engines whose code may be used. What is compiled belongs to the first.
    engines: Vec<String>,
    imported: Vec<ImportedCode>,
}

impl CodeCache {
    /// Opens the cache below `data_dir` and removes what other engines left there. What was imported below `beside` counts, too.
    pub(crate) fn open(data_dir: &Path, engine: &Engine, beside: Option<&Path>) -> io::Result<Self> {
        let root = data_dir.join("code");
        private_directory(&root)?;
        let engines = engines(&root, engine)?;
        let mut imported = vec![ImportedCode::open(data_dir)?];
        // Who may not read it has none.
        imported.extend(
            beside.filter(|dir| dir.join("imported").exists()).and_then(|dir| ImportedCode::open(dir).ok()),
        );
        Ok(Self { sealer: Sealer::open(data_dir)?, root, engines, imported })
    }

    /// The files with code compiled from `digest` whose seal holds, as they are to be tried. Each is checked when it is asked for.
    pub(crate) fn find(&self, digest: &str) -> impl Iterator<Item = io::Result<PathBuf>> {
        let compiled = self.engines.iter().map(move |engine| {
            self.sealer.find([engine, digest], path(&self.root, engine, digest)).transpose()
        });
        let imported = self.imported.iter().flat_map(move |imported| imported.find(digest));
        compiled.flatten().chain(imported)
    }

    /// Writes code compiled from `digest`; a crash leaves the old file or the new one.
    #[cfg(feature = "compiler")]
    pub(crate) fn store(&self, digest: &str, code: &[u8]) -> io::Result<PathBuf> {
        let engine = self.engines.first().ok_or_else(|| io::Error::other("there is no compiler"))?;
        let path = path(&self.root, engine, digest);
        self.sealer.write([engine, digest], &path, code)?;
        Ok(path)
    }

    /// Removes the code compiled from `digest`. What was imported stays: nobody here could make it again.
    pub(crate) fn remove(&self, digest: &str) -> io::Result<()> {
        self.engines.iter().try_for_each(|engine| match fs::remove_file(path(&self.root, engine, digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

fn path(root: &Path, engine: &str, digest: &str) -> PathBuf {
    root.join(engine).join(digest.replace(':', "-"))
}

/// The engine of this process; all others' code is removed.
#[cfg(feature = "compiler")]
fn engines(root: &Path, engine: &Engine) -> io::Result<Vec<String>> {
    let engine = fingerprint(engine);
    private_directory(&root.join(&engine))?;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name() != engine.as_str() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(vec![engine])
}

/// All engines that ever compiled here. What does not fit is found out when it is loaded.
#[cfg(not(feature = "compiler"))]
fn engines(root: &Path, _: &Engine) -> io::Result<Vec<String>> {
    fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Makes a directory (and its parents) that only its owner can use.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// A digest of everything compiled code depends on.
#[cfg(feature = "compiler")]
fn fingerprint(engine: &Engine) -> String {
    use std::hash::{Hash as _, Hasher};

    use ring::digest::{Context, SHA256};

    struct Sha256(Context);
    impl Hasher for Sha256 {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// The first bytes of what was written so far.
        fn finish(&self) -> u64 {
            let digest = self.0.clone().finish();
            digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
    }
    let mut hasher = Sha256(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(&hasher.0.finish().as_ref()[..16])
}

#[cfg(test)]
#[cfg(feature = "compiler")]
mod tests {
    use super::*;

    fn open(dir: &Path) -> CodeCache {
        CodeCache::open(dir, &Engine::default(), None).unwrap()
    }

    fn find(cache: &CodeCache, digest: &str) -> Option<PathBuf> {
        cache.find(digest).next().transpose().unwrap()
    }

    #[test]
    fn only_what_was_stored_under_the_same_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path());
        assert_eq!(find(&cache, "sha256:a"), None);
        let path = cache.store("sha256:a", b"code").unwrap();
        assert_eq!(find(&cache, "sha256:a"), Some(path.clone()));

        fs::copy(&path, path.with_file_name("sha256-b")).unwrap();
        assert_eq!(find(&cache, "sha256:b"), None, "renamed");
        let mut changed = fs::read(&path).unwrap();
        changed[1] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(find(&cache, "sha256:a"), None, "changed");
        fs::write(&path, &changed[..3]).unwrap();
        assert_eq!(find(&cache, "sha256:a"), None, "cut short");
        cache.remove("sha256:a").unwrap();
        cache.remove("sha256:a").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn other_engines_are_forgotten_and_strangers_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let stale = dir.path().join("code/0123");
        fs::create_dir_all(&stale).unwrap();
        fs::set_permissions(dir.path().join("code"), Permissions::from_mode(0o777)).unwrap();
        open(dir.path());
        assert!(!stale.exists());
        for directory in ["code", "imported"] {
            let mode = fs::metadata(dir.path().join(directory)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }
}
