//! Compiled code on disk.
//!
//! ```text
//! <data dir>/code/<engine>/<digest>     compiled code, then a seal of 48 bytes: a magic and a SHA-256
//! ```
//! The SHA-256 is that of the SHA-256 of each MiB, so that all processors check a large file; it is read for that and not kept.
//!
//! `<engine>` is a digest of all that compiled code depends on (version, target, settings), so that no other engine
//! reads it; directories of other engines are removed. The seal covers engine, digest and code: a file that was cut
//! short, changed or renamed is not used and made anew. Directories are accessible to their owner alone, and only code
//! compiled here is ever written to them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use ring::digest::{Context, Digest, SHA256};
use wasmtime::Engine;

use crate::executor::processors;

const MAGIC: &[u8; 16] = b"wherry-code-v2\0\n";
const SEAL: usize = MAGIC.len() + 32;
/// What is checked by one thread.
const PIECE: usize = 1 << 20;
/// What is read of it at a time.
const BLOCK: usize = 64 * 1024;

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
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let holds = self.holds(digest, &file)?;
        if !holds {
            tracing::warn!(digest, "compiled code on disk is damaged and is compiled again");
        }
        Ok(holds.then_some(path))
    }

    fn holds(&self, digest: &str, file: &File) -> io::Result<bool> {
        let Some(length) = file.metadata()?.len().checked_sub(SEAL as u64) else { return Ok(false) };
        let mut seal = [0; SEAL];
        file.read_exact_at(&mut seal, length)?;
        if !seal.starts_with(MAGIC) {
            return Ok(false);
        }
        let pieces = digests(length, |piece| digest_at(file, piece))?;
        Ok(seal == self.seal(digest, length, &pieces))
    }

    /// Writes code compiled from `digest`; a crash leaves the old file or the new one.
    pub(crate) fn store(&self, digest: &str, code: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(digest);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(code)?;
        let pieces: Vec<_> = code.chunks(PIECE).map(|piece| ring::digest::digest(&SHA256, piece)).collect();
        file.write_all(&self.seal(digest, code.len() as u64, &pieces))?;
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

    fn seal(&self, digest: &str, length: u64, pieces: &[Digest]) -> [u8; SEAL] {
        let mut context = Context::new(&SHA256);
        for part in [self.engine.as_bytes(), digest.as_bytes(), &length.to_le_bytes()] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        for piece in pieces {
            context.update(piece.as_ref());
        }
        let mut seal = [0; SEAL];
        seal[..MAGIC.len()].copy_from_slice(MAGIC);
        seal[MAGIC.len()..].copy_from_slice(context.finish().as_ref());
        seal
    }
}

/// The digests of all pieces of so many bytes, in order, worked out on all processors.
fn digests(length: u64, of: impl Fn(Range<u64>) -> io::Result<Digest> + Sync) -> io::Result<Vec<Digest>> {
    let starts: Vec<u64> = (0..length).step_by(PIECE).collect();
    let work = |starts: &[u64]| {
        starts
            .iter()
            .map(|start| of(*start..length.min(start + PIECE as u64)))
            .collect::<io::Result<Vec<_>>>()
    };
    let share = starts.len().div_ceil(processors()).max(1);
    let mut shares = starts.chunks(share);
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let work = &work;
        let others = shares.map(|share| thread::Builder::new().spawn_scoped(scope, move || work(share)));
        let others = others.collect::<io::Result<Vec<_>>>()?;
        let mut digests = work(own)?;
        for other in others {
            digests.extend(other.join().map_err(|_| io::Error::other("a thread that checks code failed"))??);
        }
        Ok(digests)
    })
}

/// The digest of a piece of a file.
fn digest_at(file: &File, piece: Range<u64>) -> io::Result<Digest> {
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; BLOCK];
    for start in piece.clone().step_by(BLOCK) {
        let length = usize::try_from(piece.end - start).unwrap_or(BLOCK).min(BLOCK);
        file.read_exact_at(&mut block[..length], start)?;
        context.update(&block[..length]);
    }
    Ok(context.finish())
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
    fn every_piece_of_a_large_file_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path(), &Engine::default()).unwrap();
        let code: Vec<u8> = (0..5 * PIECE / 2).map(|place| u8::try_from(place % 251).unwrap()).collect();
        let path = cache.store("sha256:a", &code).unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), Some(path.clone()));
        let file = fs::read(&path).unwrap();
        for place in [0, 1 << 20, (1 << 20) + BLOCK, code.len() - 1, code.len(), file.len() - 1] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_eq!(cache.find("sha256:a").unwrap(), None, "changed at {place}");
        }
        fs::write(&path, [&code[..1 << 20], &file[code.len()..]].concat()).unwrap();
        assert_eq!(cache.find("sha256:a").unwrap(), None, "without its end");
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
