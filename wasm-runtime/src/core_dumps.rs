//! Core dumps: what a guest that trapped had in its memories and globals, and where it was, in the format of WebAssembly's tool
//! conventions, which `wasm-tools print` and debuggers read.
//!
//! # Guarantees
//! - Nobody's are made unless the Pod asks for it, or whoever runs a program by hand.
//! - A dump is written whole or not at all, readable by its owner and group alone, beside what is there and never through a link.
//! - One is made at a time on the node, of at most so much memory, and no more than [`Limits::core_dumps`] lie in a directory: who traps
//!   again and again does not fill the disk. The first ones stay, which tell the most.
//!
//! # Caveats
//! wasmtime tells neither locals nor operands. In the dump of a component that is made of others, globals are of no instance.

mod composed;

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wasmtime::{Error, Store, WasmCoreDump};
use wasmtime_wasi::I32Exit;
use wherry_runtime_api::ContainerSpec;

use crate::config::{Clock, Limits};
use crate::memory::LimitExceeded;
use crate::preopens;

/// How the names of all dumps begin.
const PREFIX: &str = "core.";

/// Where the dumps of a container go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Files of their own in a directory of the node, which the container knows by another name.
    Directory {
        /// On the node.
        path: PathBuf,
        /// As the container names it.
        named: String,
    },
    /// This file, which the last one replaces.
    File(PathBuf),
}

/// The annotation names no directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the annotation run.wherry.dev/core-dumps of its Pod names {0:?}, where it mounts no directory that it may write to"
)]
pub(crate) struct NotMounted(String);

impl Place {
    /// The directory that the container mounts at `path`.
    pub(crate) fn mounted(spec: &ContainerSpec, path: &str) -> Result<Self, NotMounted> {
        let found = preopens::writable(&spec.mounts, path).ok_or_else(|| NotMounted(path.to_owned()))?;
        Ok(Self::Directory { path: found.to_owned(), named: path.trim_end_matches('/').to_owned() })
    }
}

/// Makes the dumps of one container.
pub(crate) struct CoreDumps {
    pub(crate) place: Place,
    /// The Pod and the container.
    pub(crate) of: String,
    pub(crate) limits: Limits,
    /// A permit for the one of the node that is being made.
    pub(crate) turn: Arc<Semaphore>,
    pub(crate) clock: Clock,
}

/// What became of a dump, as it is told with the trap.
#[derive(Debug)]
struct Told(Result<String, Refused>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(name) => write!(f, "core dump: {name}"),
            Err(refused) => write!(f, "no core dump was written: {refused}"),
        }
    }
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there are {0} already; remove some")]
    Enough(usize),
    #[error("the guest has {found} bytes of memory, and {most} are written at most")]
    TooLarge { found: u64, most: u64 },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is told of the dump that was made for this error, if one was wanted.
pub(crate) fn told(error: &Error) -> Option<String> {
    error.downcast_ref::<Told>().map(ToString::to_string)
}

/// Ends an instance that failed; if it trapped and `dumps` are wanted, one is written first. What is `held` is dropped after the store.
pub(crate) async fn end<T: Send + 'static>(
    dumps: Option<&Arc<CoreDumps>>,
    mut store: Store<T>,
    held: impl Send + 'static,
    error: Error,
) -> Error {
    let Some(dumps) = dumps.filter(|_| trapped(&error)) else { return error };
    if let Err(refused) = dumps.room() {
        return error.context(Told(Err(refused)));
    }
    let Ok(turn) = Arc::clone(&dumps.turn).acquire_owned().await else { return error };
    let dumps = Arc::clone(dumps);
    let written = spawn_blocking(move || {
        let told = Told(dumps.write(&mut store, &error));
        drop((store, held, turn));
        error.context(told)
    });
    written.await.unwrap_or_else(|lost| Error::msg(format!("the guest trapped, and its core dump: {lost}")))
}

/// Whether it is a trap: guests that exit, and those that want too much memory, end by an error, too.
fn trapped(error: &Error) -> bool {
    error.is::<WasmCoreDump>() && !error.is::<I32Exit>() && !error.is::<LimitExceeded>()
}

impl CoreDumps {
    fn write<T: 'static>(&self, store: &mut Store<T>, error: &Error) -> Result<String, Refused> {
        self.room()?;
        let dump = error.downcast_ref::<WasmCoreDump>().ok_or_else(|| io::Error::other("there is none"))?;
        let found = dump.memories().iter().map(|memory| memory.data_size(&*store) as u64).sum();
        let most = self.limits.core_dump_bytes;
        if found > most {
            return Err(Refused::TooLarge { found, most });
        }
        let composed = dump.modules().iter().any(composed::is_adapter);
        let bytes = if composed {
            composed::serialize(dump, store, &self.of)
        } else {
            dump.serialize(store, &self.of)
        };
        Ok(self.save(&bytes)?)
    }

    /// Whether there may be one more.
    fn room(&self) -> Result<(), Refused> {
        let Place::Directory { path, .. } = &self.place else { return Ok(()) };
        let entries = fs::read_dir(path)?;
        let dumps = entries
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        let found = dumps.count();
        if found < self.limits.core_dumps { Ok(()) } else { Err(Refused::Enough(found)) }
    }

    /// Its name.
    fn save(&self, bytes: &[u8]) -> io::Result<String> {
        match &self.place {
            Place::Directory { path, named } => {
                let time = (self.clock)().strftime("%Y%m%dT%H%M%S.%6f");
                let name = format!("{PREFIX}{}.{time}.wasm", self.of);
                part(path, bytes)?.persist_noclobber(path.join(&name))?;
                Ok(format!("{named}/{name}"))
            }
            Place::File(path) => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                part(directory.unwrap_or_else(|| Path::new(".")), bytes)?.persist(path)?;
                Ok(path.display().to_string())
            }
        }
    }
}

/// A file of these bytes in the directory that has no lasting name yet. One that a kill leaves there counts as a dump.
fn part(directory: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(PREFIX).suffix(".part").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(0o640))?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
