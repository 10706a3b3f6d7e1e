//! Seals on compiled code: who has the key of this node wrote it, under this name, and it is as it was.
//!
//! ```text
//! code, then a seal of 48 bytes: a magic and an HMAC-SHA-256
//! ```
//! The HMAC is that of the names, the length and the SHA-256 of each MiB, so that all processors check a large file; it is read for
//! that and not kept. The key is in `<data dir>/code.key`, readable by its owner alone, and never leaves the node.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use ring::digest::{Context, Digest, SHA256};
use ring::hmac::{self, HMAC_SHA256, Key};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::executor::processors;

const MAGIC: &[u8; 16] = b"wherry-code-v3\0\n";
const SEAL: usize = MAGIC.len() + 32;
const KEY: usize = 32;
/// What is checked by one thread.
pub(crate) const PIECE: usize = 1 << 20;
/// What is read of it at a time.
pub(crate) const BLOCK: usize = 64 * 1024;

/// Seals code of this node, and tells its own seals from others.
#[derive(Debug)]
pub(crate) struct Sealer {
    key: Key,
}

impl Sealer {
    /// With the key of this directory, which is made if there is none.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("code.key");
        let key = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(data_dir, &path)?,
            read => read?,
        };
        if key.len() != KEY {
            let why = format!("{} is no key of {KEY} bytes; remove it, and import code anew", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self { key: Key::new(HMAC_SHA256, &key) })
    }

    /// Writes code under these names; a crash leaves the old file or the new one.
    pub(crate) fn write(&self, names: [&str; 2], path: &Path, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
        file.write_all(code)?;
        let pieces: Vec<_> = code.chunks(PIECE).map(|piece| ring::digest::digest(&SHA256, piece)).collect();
        let tag = hmac::sign(&self.key, &sealed(names, code.len() as u64, &pieces));
        file.write_all(MAGIC)?;
        file.write_all(tag.as_ref())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // What was imported must not be lost after whoever imported it was told so.
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// The path, if there is a file with code under these names and its seal holds.
    pub(crate) fn find(&self, names: [&str; 2], path: PathBuf) -> io::Result<Option<PathBuf>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let holds = self.holds(names, &file)?;
        if !holds {
            tracing::warn!(path = %path.display(), "compiled code on disk is damaged and is not used");
        }
        Ok(holds.then_some(path))
    }

    fn holds(&self, names: [&str; 2], file: &File) -> io::Result<bool> {
        let Some(length) = file.metadata()?.len().checked_sub(SEAL as u64) else { return Ok(false) };
        let mut seal = [0; SEAL];
        file.read_exact_at(&mut seal, length)?;
        let Some(tag) = seal.strip_prefix(MAGIC) else { return Ok(false) };
        let pieces = digests(length, |piece| digest_at(file, piece))?;
        Ok(hmac::verify(&self.key, &sealed(names, length, &pieces), tag).is_ok())
    }
}

/// A key of this node. Of two that make one at the same time, the first wins.
fn make_key(data_dir: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(error) => Err(error.error),
    }
}

/// What a seal is about, so that nothing else reads alike.
fn sealed(names: [&str; 2], length: u64, pieces: &[Digest]) -> Vec<u8> {
    let mut message = Vec::new();
    for name in names {
        message.extend((name.len() as u64).to_le_bytes());
        message.extend(name.as_bytes());
    }
    message.extend(length.to_le_bytes());
    for piece in pieces {
        message.extend(piece.as_ref());
    }
    message
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NAMES: [&str; 2] = ["engine", "sha256:a"];

    #[test]
    fn every_piece_of_a_large_file_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(dir.path()).unwrap();
        let path = dir.path().join("code");
        let code: Vec<u8> = (0..5 * PIECE / 2).map(|place| u8::try_from(place % 251).unwrap()).collect();
        sealer.write(NAMES, &path, &code).unwrap();
        let found = || sealer.find(NAMES, path.clone()).unwrap();
        assert_eq!(found(), Some(path.clone()));
        let file = fs::read(&path).unwrap();
        for place in [0, 1 << 20, (1 << 20) + BLOCK, code.len() - 1, code.len(), file.len() - 1] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_eq!(found(), None, "changed at {place}");
        }
        fs::write(&path, [&code[..1 << 20], &file[code.len()..]].concat()).unwrap();
        assert_eq!(found(), None, "without its end");
    }

    #[test]
    fn seals_of_other_nodes_do_not_count() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = there.path().join("code");
        Sealer::open(there.path()).unwrap().write(NAMES, &path, b"code").unwrap();
        let find = |dir: &Path, names| Sealer::open(dir).unwrap().find(names, path.clone()).unwrap();
        assert_eq!(find(there.path(), NAMES), Some(path.clone()), "the key is kept");
        assert_eq!(find(here.path(), NAMES), None);
        assert_eq!(find(there.path(), ["engin", "esha256:a"]), None, "names do not run together");
    }

    #[test]
    fn the_key_is_its_owners_and_one_that_is_spoilt_is_told() {
        let dir = tempfile::tempdir().unwrap();
        Sealer::open(dir.path()).unwrap();
        let path = dir.path().join("code.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        let error = Sealer::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no key of 32 bytes; remove it"), "{error}");
    }
}
