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
//! wasmtime tells neither locals nor operands, and cannot write dumps of components that are made of other components.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    #[error("wasmtime cannot write those of components that are made of others")]
    Composed,
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
        // Fused adapters have globals that are the component's, which it does not find again.
        let bytes = catch_unwind(AssertUnwindSafe(|| dump.serialize(store, &self.of)));
        Ok(self.save(&bytes.map_err(|_| Refused::Composed)?)?)
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
mod tests {
    use jiff::Timestamp;
    use wasmtime::{Config, Engine, Instance, Module};

    use super::*;

    /// Traps with three pages of memory, of which the second holds something.
    const TRAPS: &str = r#"(module $trapping (memory 3) (data (i32.const 65536) "held") (global (mut i32) (i32.const 7))
        (func (export "run") unreachable))"#;

    fn dumps(place: Place, limits: Limits) -> Arc<CoreDumps> {
        let (turn, clock) = (Arc::new(Semaphore::new(1)), Arc::new(Timestamp::now));
        Arc::new(CoreDumps { place, of: "pod.container".to_owned(), limits, turn, clock })
    }

    fn trap() -> (Store<()>, Error) {
        let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
        let module = Module::new(&engine, TRAPS).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        (store, error)
    }

    async fn after_trap(dumps: &Arc<CoreDumps>) -> String {
        let (store, error) = trap();
        told(&end(Some(dumps), store, (), error).await).unwrap()
    }

    fn in_directory(path: &Path) -> Place {
        Place::Directory { path: path.to_owned(), named: "/data".to_owned() }
    }

    #[tokio::test]
    async fn a_dump_has_memory_globals_and_the_place_of_the_trap() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = dumps(in_directory(dir.path()), Limits::default());
        let name = after_trap(&dumps).await.strip_prefix("core dump: /data/").unwrap().to_owned();
        assert!(name.starts_with("core.pod.container."), "{name}");
        assert_eq!(Path::new(&name).extension().unwrap(), "wasm");
        let file = dir.path().join(name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let bytes = fs::read(file).unwrap();
        let mut sections = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
            match payload.unwrap() {
                wasmparser::Payload::CustomSection(section) => sections.push(section.name().to_owned()),
                wasmparser::Payload::DataSection(data) => {
                    let data: Vec<_> = data.into_iter().map(|data| data.unwrap().data.to_vec()).collect();
                    assert_eq!(data, [b"held"]);
                }
                wasmparser::Payload::GlobalSection(globals) => assert_eq!(globals.count(), 1),
                _ => {}
            }
        }
        assert_eq!(sections, ["core", "coremodules", "coreinstances", "corestack"]);
    }

    #[tokio::test]
    async fn no_more_are_made_than_may_lie_in_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = dumps(in_directory(dir.path()), Limits { core_dumps: 2, ..Limits::default() });
        fs::write(dir.path().join("core.left.part"), "").unwrap();
        assert!(after_trap(&dumps).await.starts_with("core dump: "));
        assert_eq!(after_trap(&dumps).await, "no core dump was written: there are 2 already; remove some");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_guest_of_too_much_memory_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = dumps(in_directory(dir.path()), Limits { core_dump_bytes: 3 << 16, ..Limits::default() });
        assert!(after_trap(&dumps).await.starts_with("core dump: "), "as much as is allowed");
        let dumps =
            self::dumps(in_directory(dir.path()), Limits { core_dump_bytes: 1 << 17, ..Limits::default() });
        let refused =
            "no core dump was written: the guest has 196608 bytes of memory, and 131072 are written at most";
        assert_eq!(after_trap(&dumps).await, refused);
    }

    #[tokio::test]
    async fn a_file_that_is_named_is_replaced_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("dump"), dir.path().join("other"));
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        let dumps = dumps(Place::File(file.clone()), Limits::default());
        for _ in 0..2 {
            assert_eq!(after_trap(&dumps).await, format!("core dump: {}", file.display()));
        }
        assert_eq!(fs::read_to_string(other).unwrap(), "untouched");
        assert!(fs::read(file).unwrap().starts_with(b"\0asm"));
    }

    /// One component that has another one's function called by fused adapters.
    const COMPOSED: &str = r#"(component
        (component $a
            (core module $m (func (export "f") unreachable))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))
        (instance $a (instantiate $a))
        (component $b
            (import "f" (func $f))
            (core func $lowered (canon lower (func $f)))
            (core module $m (import "" "f" (func $f)) (func (export "run") (call $f)))
            (core instance $i (instantiate $m (with "" (instance (export "f" (func $lowered))))))
            (func (export "run") (canon lift (core func $i "run"))))
        (instance $b (instantiate $b (with "f" (func $a "f"))))
        (export "run" (func $b "run")))"#;

    #[tokio::test]
    async fn what_wasmtime_cannot_write_is_told() {
        let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
        let component = wasmtime::component::Component::new(&engine, COMPOSED).unwrap();
        let mut store = Store::new(&engine, ());
        let linker = wasmtime::component::Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        let dir = tempfile::tempdir().unwrap();
        let dumps = dumps(in_directory(dir.path()), Limits::default());
        let told = told(&end(Some(&dumps), store, (), error).await).unwrap();
        assert_eq!(
            told,
            "no core dump was written: wasmtime cannot write those of components that are made of others"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn only_traps_are_dumped_and_only_where_it_is_wanted() {
        let (store, error) = trap();
        assert_eq!(told(&end(None, store, (), error).await), None);
        let dir = tempfile::tempdir().unwrap();
        let dumps = dumps(in_directory(dir.path()), Limits::default());
        for ended in [Error::from(I32Exit(1)), LimitExceeded { whose: "", limit: 1, wanted: 2 }.into()] {
            let (store, trap) = trap();
            drop(trap);
            assert_eq!(told(&end(Some(&dumps), store, (), ended).await), None);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
