//! Code that was compiled elsewhere, for nodes that cannot or should not compile.
//!
//! It comes by the hand of the node's owner, in an archive that is signed with a key that the owner names, and never from a registry. What is
//! taken has the node's own seal from then on. It stays until the owner removes it, also when its image goes and comes again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::code_cache::private_directory;
use crate::seal::Sealer;
use crate::target::Target;

/// What takes the engine's place in seals.
const IMPORTED: &str = "imported";

/// The engine whose code is taken: wasmtime's releases of one number have the same code.
pub(crate) const ENGINE: &str = "wasmtime 48";

/// What was imported into a node.
#[derive(Debug)]
pub struct ImportedCode {
    directory: PathBuf,
    sealer: Sealer,
}

/// Code that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The digest of the WebAssembly that it was compiled from.
    pub digest: String,
    /// The bytes that it takes.
    pub size: u64,
}

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is for others.
    #[error("it is for {archive}, and this is {own}")]
    Target {
        /// What it is for.
        archive: String,
        /// What this is.
        own: String,
    },
    /// It was made by another version.
    #[error(
        "it was compiled by {archive}, and this node has {ENGINE}; compile it with the version of wherry that runs here"
    )]
    Engine {
        /// What made it.
        archive: String,
    },
    /// It cannot be written.
    #[error("it cannot be kept")]
    Io(#[from] io::Error),
}

impl ImportedCode {
    /// What was imported below a runtime's `data_dir`.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join(IMPORTED);
        private_directory(data_dir)?;
        private_directory(&directory)?;
        Ok(Self { directory, sealer: Sealer::open(data_dir)? })
    }

    /// Takes what is in the archive, whose signature was checked, in place of what there was of its WebAssembly.
    pub fn add(&self, archive: &Archive) -> Result<(), ImportError> {
        let Archive { digest, target, engine, codes } = archive;
        let own = Target::own().map_or(std::env::consts::ARCH, Target::triple);
        if target != own {
            return Err(ImportError::Target { archive: target.clone(), own: own.to_owned() });
        }
        if engine != ENGINE {
            return Err(ImportError::Engine { archive: engine.clone() });
        }
        for (place, code) in codes.iter().enumerate() {
            self.sealer.write([IMPORTED, digest], &self.path(digest, place), code)?;
        }
        self.remove_from(digest, codes.len())?;
        Ok(())
    }

    /// What there is, by digest.
    pub fn list(&self) -> io::Result<Vec<Imported>> {
        let mut all: Vec<Imported> = Vec::new();
        let mut files: Vec<_> = fs::read_dir(&self.directory)?.collect::<io::Result<_>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some((digest, _)) = name.strip_prefix("sha256-").and_then(|name| name.split_once('.')) else {
                continue;
            };
            let (digest, size) = (format!("sha256:{digest}"), file.metadata()?.len());
            match all.last_mut().filter(|last| last.digest == digest) {
                Some(last) => last.size += size,
                None => all.push(Imported { digest, size }),
            }
        }
        Ok(all)
    }

    /// Removes what was compiled from `digest`; whether there was something.
    pub fn remove(&self, digest: &str) -> io::Result<bool> {
        self.remove_from(digest, 0)
    }

    fn remove_from(&self, digest: &str, first: usize) -> io::Result<bool> {
        let mut place = first;
        loop {
            match fs::remove_file(self.path(digest, place)) {
                Ok(()) => place += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(place > first),
                Err(error) => return Err(error),
            }
        }
    }

    /// The files whose seal holds.
    pub(crate) fn find(&self, digest: &str) -> impl Iterator<Item = io::Result<PathBuf>> {
        let paths = (0..).map(move |place| self.path(digest, place)).take_while(|path| path.exists());
        paths.filter_map(move |path| self.sealer.find([IMPORTED, digest], path).transpose())
    }

    fn path(&self, digest: &str, place: usize) -> PathBuf {
        self.directory.join(format!("{}.{place}", digest.replace([':', '/'], "-")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(codes: &[&[u8]]) -> Archive {
        Archive {
            digest: format!("sha256:{}", "0".repeat(64)),
            target: Target::own().unwrap().to_string(),
            engine: ENGINE.to_owned(),
            codes: codes.iter().map(|code| code.to_vec()).collect(),
        }
    }

    fn found(imported: &ImportedCode, archive: &Archive) -> usize {
        imported.find(&archive.digest).map(Result::unwrap).count()
    }

    #[test]
    fn the_engine_is_the_one_that_is_built_in() {
        let lock = include_str!("../../Cargo.lock");
        let version = lock.split("\nname = \"wasmtime\"\nversion = \"").nth(1).unwrap();
        assert_eq!(ENGINE, format!("wasmtime {}", version.split('.').next().unwrap()));
    }

    #[test]
    fn what_is_added_is_found_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let imported = ImportedCode::open(dir.path()).unwrap();
        let archive = archive(&[b"one", b"two"]);
        imported.add(&archive).unwrap();
        assert_eq!(found(&imported, &archive), 2);
        let imported = ImportedCode::open(dir.path()).unwrap();
        assert_eq!(found(&imported, &archive), 2);
        let listed = imported.list().unwrap();
        assert_eq!(listed, [Imported { digest: archive.digest.clone(), size: 6 + 2 * 48 }]);
        imported.add(&self::archive(&[b"three"])).unwrap();
        assert_eq!(found(&imported, &archive), 1, "it takes the place of what was there");
        assert!(imported.remove(&archive.digest).unwrap() && !imported.remove(&archive.digest).unwrap());
        assert_eq!((found(&imported, &archive), imported.list().unwrap()), (0, Vec::new()));
    }

    #[test]
    fn what_nobody_imported_here_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let imported = ImportedCode::open(dir.path()).unwrap();
        let archive = archive(&[b"code"]);
        imported.add(&archive).unwrap();
        let (elsewhere, file) = (tempfile::tempdir().unwrap(), imported.path(&archive.digest, 0));
        let other = ImportedCode::open(elsewhere.path()).unwrap();
        fs::copy(&file, other.path(&archive.digest, 0)).unwrap();
        assert_eq!(found(&other, &archive), 0, "the seal is another node's");
        fs::write(&file, "code").unwrap();
        assert_eq!(found(&imported, &archive), 0, "there is no seal");
    }

    #[test]
    fn what_is_for_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let imported = ImportedCode::open(dir.path()).unwrap();
        let other = Archive { target: "pdp11".into(), ..archive(&[b"code"]) };
        let error = imported.add(&other).unwrap_err().to_string();
        assert_eq!(error, format!("it is for pdp11, and this is {}", Target::own().unwrap()));
        let older = Archive { engine: "wasmtime 1".into(), ..archive(&[b"code"]) };
        let error = imported.add(&older).unwrap_err().to_string();
        assert!(error.starts_with("it was compiled by wasmtime 1, and this node has wasmtime "), "{error}");
        assert_eq!(imported.list().unwrap(), []);
    }
}
