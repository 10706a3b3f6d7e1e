//! Compiled code on disk.
//!
//! ```text
//! <data dir>/code/<engine>/<digest>     compiled code, then a seal of 48 bytes: a magic and a SHA-256
//! ```
//! `<engine>` is a digest of all that compiled code depends on (version, target, settings), so that no other engine
//! reads it; directories of other engines are removed. The seal covers engine, digest and code: a file that was cut
//! short, changed or renamed is not used and made anew. Directories are accessible to their owner alone, and only code
//! compiled here is ever written to them.

use std::fs::{self, DirBuilder, Permissions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use wasmtime::Engine;

const MAGIC: &[u8; 16] = b"wherry-code-v1\0\n";
const SEAL: usize = MAGIC.len() + 32;

/// The compiled code of one engine.
#[derive(Debug)]
pub(crate) struct CodeCache {
    directory: PathBuf,
    engine: String,
}

impl CodeCache {
    /// Opens the cache below `data_dir` and removes what other engines left there.
    pub(crate) fn open(data_dir: &Path, engine: &Engine) -> io::Result<Self> {
        let root = data_dir.join("code");
        let engine = fingerprint(engine);
        let directory = root.join(&engine);
        private_directory(&root)?;
        private_directory(&directory)?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_name() != engine.as_str() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { directory, engine })
    }

    /// The file with the code compiled from `digest`, if there is one and its seal holds.
    pub(crate) fn find(&self, digest: &str) -> io::Result<Option<PathBuf>> {
        let path = self.path(digest);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let holds = file.len() > SEAL && {
            let (code, seal) = file.split_at(file.len() - SEAL);
            seal == self.seal(digest, code)
        };
        if !holds {
            tracing::warn!(digest, "compiled code on disk is damaged and is compiled again");
        }
        Ok(holds.then_some(path))
    }

    /// Writes code compiled from `digest`; a crash leaves the old file or the new one.
    pub(crate) fn store(&self, digest: &str, code: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(digest);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(code)?;
        file.write_all(&self.seal(digest, code))?;
        file.persist(&path)?;
        Ok(path)
    }

    /// Removes the code compiled from `digest`.
    pub(crate) fn remove(&self, digest: &str) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest.replace(':', "-"))
    }

    fn seal(&self, digest: &str, code: &[u8]) -> [u8; SEAL] {
        let mut context = Context::new(&SHA256);
        for part in [self.engine.as_bytes(), digest.as_bytes(), code] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut seal = [0; SEAL];
        seal[..MAGIC.len()].copy_from_slice(MAGIC);
        seal[MAGIC.len()..].copy_from_slice(context.finish().as_ref());
        seal
    }
}

/// Makes a directory (and its parents) that only its owner can use.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// A digest of everything compiled code depends on.
fn fingerprint(engine: &Engine) -> String {
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
mod tests {
    use super::*;

    #[test]
    fn only_what_was_stored_under_the_same_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path(), &Engine::default()).unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), None);
        let path = cache.store("sha256:a", b"code").unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), Some(path.clone()));

        fs::copy(&path, path.with_file_name("sha256-b")).unwrap();
        assert_eq!(cache.find("sha256:b").unwrap(), None, "renamed");
        let mut changed = fs::read(&path).unwrap();
        changed[1] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), None, "changed");
        fs::write(&path, &changed[..3]).unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), None, "cut short");
    }

    #[test]
    fn other_engines_are_forgotten_and_strangers_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let stale = dir.path().join("code/0123");
        fs::create_dir_all(&stale).unwrap();
        fs::set_permissions(dir.path().join("code"), Permissions::from_mode(0o777)).unwrap();
        CodeCache::open(dir.path(), &Engine::default()).unwrap();
        assert!(!stale.exists());
        let mode = fs::metadata(dir.path().join("code")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
