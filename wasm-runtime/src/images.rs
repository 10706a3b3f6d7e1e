//! From image content to programs: each digest is compiled once, loaded while it is used.

use std::collections::HashMap;
#[cfg(feature = "compiler")]
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
#[cfg(feature = "compiler")]
use ring::digest::{SHA256, digest};
use tokio::sync::OnceCell;
#[cfg(feature = "compiler")]
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wherry_runtime_api::{ImageContent, RuntimeError};

use crate::code_cache::CodeCache;
#[cfg(feature = "compiler")]
use crate::compiler;
use crate::engine::Machine;
use crate::program::{self, Program, ProgramError};
use crate::target::Target;

type Loaded = Arc<OnceCell<Arc<Program>>>;

/// Images that may wait to be compiled; more are refused, and asked for again later.
#[cfg(feature = "compiler")]
const QUEUE: usize = 64;

/// The programs of this node.
pub(crate) struct Images {
    machine: Arc<Machine>,
    cache: Arc<CodeCache>,
    programs: Mutex<HashMap<String, Loaded>>,
    /// The largest file that is compiled, where files are compiled.
    largest: Option<u64>,
    /// Compiling takes whatever cores have left and much memory: one image at a time, in the order they were asked for.
    #[cfg(feature = "compiler")]
    compiling: Semaphore,
    /// A place for each that compiles or waits to.
    #[cfg(feature = "compiler")]
    queue: Semaphore,
    compiled: AtomicU64,
}

impl Images {
    /// No program is loaded yet. Without a `largest` file to compile, programs are only loaded.
    pub(crate) fn new(machine: Arc<Machine>, cache: CodeCache, largest: Option<u64>) -> Self {
        Self {
            machine,
            cache: Arc::new(cache),
            programs: Mutex::default(),
            largest,
            #[cfg(feature = "compiler")]
            compiling: Semaphore::new(1),
            #[cfg(feature = "compiler")]
            queue: Semaphore::new(1 + QUEUE),
            compiled: AtomicU64::new(0),
        }
    }

    /// How many images were compiled.
    pub(crate) fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    /// The program of `image`: from memory, else from disk, else compiled. Concurrent callers share the work.
    pub(crate) async fn program(&self, image: &ImageContent) -> Result<Arc<Program>, RuntimeError> {
        let (digest, path) = wasm(image)?;
        let cell = Arc::clone(self.programs.lock().entry(digest.to_owned()).or_default());
        let program = cell.get_or_try_init(|| self.load(digest, path)).await.cloned();
        drop(cell);
        if program.is_err() {
            self.unload_unused(digest);
        }
        program
    }

    /// Drops the program from memory if no container uses it.
    pub(crate) fn unload_unused(&self, digest: &str) {
        let mut programs = self.programs.lock();
        let unused = programs.get(digest).is_some_and(|cell| {
            Arc::strong_count(cell) == 1 && cell.get().is_none_or(|program| Arc::strong_count(program) == 1)
        });
        if unused {
            programs.remove(digest);
        }
    }

    /// Drops the program from memory and disk.
    pub(crate) fn forget(&self, digest: &str) -> Result<(), RuntimeError> {
        self.programs.lock().remove(digest);
        self.cache.remove(digest).map_err(|source| RuntimeError::Io {
            action: "remove compiled code of",
            path: PathBuf::from(digest),
            source,
        })
    }

    async fn load(&self, digest: &str, path: &Path) -> Result<Arc<Program>, RuntimeError> {
        let cache = Arc::clone(&self.cache);
        let machine = Arc::clone(&self.machine);
        let wanted = digest.to_owned();
        let cached = blocking(move || {
            let mut unfit = None;
            for found in cache.find(&wanted) {
                let code = found.map_err(|error| step("read compiled code", &error))?;
                match program::load(&machine, &code) {
                    // Code that holds its seal and still does not load is made anew, too.
                    Err(ProgramError::Load(reason)) => unfit = Some(reason),
                    loaded => return Ok(Ok(loaded.map_err(|error| invalid(&wanted, &error))?)),
                }
            }
            Ok(Err(unfit))
        })
        .await?;
        match (cached, self.largest) {
            (Ok(program), _) => Ok(Arc::new(program)),
            (Err(_), Some(largest)) => self.compile(digest, path, largest).await,
            (Err(unfit), None) => Err(missing(digest, unfit)),
        }
    }

    #[cfg(not(feature = "compiler"))]
    #[expect(clippy::unused_async, reason = "where files are compiled it waits")]
    async fn compile(&self, digest: &str, _: &Path, _: u64) -> Result<Arc<Program>, RuntimeError> {
        Err(missing(digest, None))
    }

    #[cfg(feature = "compiler")]
    async fn compile(&self, digest: &str, path: &Path, largest: u64) -> Result<Arc<Program>, RuntimeError> {
        let _place = self.queue.try_acquire().map_err(|_| RuntimeError::Failed {
            step: "compile".to_owned(),
            reason: format!("{QUEUE} other images wait for it already; it is tried again"),
        })?;
        let _one = self.compiling.acquire().await.map_err(|error| step("compile", &error))?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let (cache, machine) = (Arc::clone(&self.cache), Arc::clone(&self.machine));
        let (digest, path) = (digest.to_owned(), path.to_owned());
        blocking(move || {
            let bytes = read(&digest, &path, largest)?;
            let engine = machine.engine_for(&bytes);
            let code = compiler::compile(engine, &bytes).map_err(|error| invalid(&digest, &error))?;
            drop(bytes);
            let file = cache.store(&digest, &code).map_err(|error| step("write compiled code", &error))?;
            program::load(&machine, &file).map(Arc::new).map_err(|error| invalid(&digest, &error))
        })
        .await
    }
}

/// Digest and file of a wasm image.
fn wasm(image: &ImageContent) -> Result<(&str, &Path), RuntimeError> {
    match image {
        ImageContent::Wasm { digest, path, .. } => Ok((digest, path)),
        ImageContent::Oci { digest, .. } => Err(RuntimeError::InvalidImage {
            digest: digest.clone(),
            reason: "it is an OCI container image, not WebAssembly; run it with the runtime class runc"
                .into(),
        }),
    }
}

/// There is no code, and nobody here makes any; `unfit` is why what there is cannot be used.
fn missing(digest: &str, unfit: Option<String>) -> RuntimeError {
    let found = match unfit {
        Some(reason) => format!("there is code that does not fit this node ({reason})"),
        None => "there is none".to_owned(),
    };
    let target = Target::own().map_or(std::env::consts::ARCH, Target::triple);
    let reason = format!(
        "{found}, and this node does not compile: where there is a compiler, run `wherry compile IMAGE --target {target} --key KEY \
         --output FILE`, then here `wherry code import FILE --key PUBLIC-KEY`"
    );
    RuntimeError::Failed { step: format!("finding compiled code of {digest}"), reason }
}

/// The bytes, which must be those of the digest: everything made of them is kept under it.
#[cfg(feature = "compiler")]
fn read(wanted: &str, path: &Path, largest: u64) -> Result<Vec<u8>, RuntimeError> {
    let refused = |reason| RuntimeError::InvalidImage { digest: wanted.to_owned(), reason };
    let io = |source| RuntimeError::Io { action: "read", path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(io)?.len();
    if size > largest {
        let reason =
            format!("the WebAssembly of {size} bytes is larger than the {largest} bytes that are compiled");
        return Err(refused(reason));
    }
    let bytes = fs::read(path).map_err(io)?;
    let found = format!("sha256:{}", hex::encode(digest(&SHA256, &bytes)));
    if found == wanted {
        return Ok(bytes);
    }
    Err(refused(format!("the content has the digest {found}; pull the image again")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    spawn_blocking(work).await.map_err(|error| step("prepare the image", &error))?
}

fn invalid(digest: &str, error: &ProgramError) -> RuntimeError {
    #[cfg(feature = "compiler")]
    if let ProgramError::Threads(_) = error {
        return step("compile", error);
    }
    RuntimeError::InvalidImage { digest: digest.to_owned(), reason: error.to_string() }
}

fn step(step: &str, error: &dyn std::error::Error) -> RuntimeError {
    RuntimeError::Failed { step: step.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
#[cfg(feature = "compiler")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_images_than_fit_wait_to_be_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Arc::new(Machine::new(1).unwrap());
        let cache = CodeCache::open(dir.path(), &machine.engine, None).unwrap();
        let images = Images::new(machine, cache, Some(1 << 20));
        let (path, empty) = (dir.path().join("empty.wasm"), b"\0asm\x01\0\0\0");
        fs::write(&path, empty).unwrap();
        let digest = format!("sha256:{}", hex::encode(digest(&SHA256, empty)));
        let image = ImageContent::Wasm { digest, path, entrypoint: Vec::new(), env: Vec::new() };
        let places = images.queue.try_acquire_many(u32::try_from(1 + QUEUE).unwrap()).unwrap();
        let full = images.program(&image).await.err().unwrap().to_string();
        assert!(full.contains("64 other images wait for it already"), "{full}");
        drop(places);
        let refused = images.program(&image).await.err().unwrap().to_string();
        assert!(refused.contains("nothing to run"), "it was compiled: {refused}");
    }
}
