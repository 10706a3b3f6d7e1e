//! Threads that run guests.
//!
//! Guests have threads of their own, so that one that computes takes turns with the rest of the process by the
//! kernel's scheduler. All threads for a pod with a network namespace are inside it: whatever socket the guest
//! or the runtime makes for it, it makes there.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::acceptor::Acceptor;
use crate::errands::Errands;

/// A set of threads; dropping the last clone ends what runs on them.
#[derive(Clone)]
pub(crate) struct Executor {
    runtime: Arc<Owned>,
    /// Whoever listens on these threads does it here.
    pub(crate) acceptor: Arc<Acceptor>,
    /// Who does what is left by instances that ran at once; nobody for those in a namespace of their own.
    pub(crate) errands: Option<Errands>,
}

/// A runtime can be dropped within another one only in the background.
#[derive(Debug)]
struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Executor {
    /// One thread per processor, and one for whoever computes for a moment while all others compute for long; in the network
    /// namespace of this process.
    pub(crate) fn of_node() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads()).thread_name("wasm").enable_all().build()?;
        Self::accepting(runtime, Some(Errands::start()?))
    }

    /// One thread, in the network namespace at `path`.
    pub(crate) fn in_namespace(path: &Path) -> io::Result<Self> {
        let namespace = Arc::new(File::open(path)?);
        let first = Arc::clone(&namespace);
        // Threads of a runtime cannot report an error, so one is asked that can.
        let tried = thread::Builder::new().spawn(move || enter(&first))?;
        tried.join().map_err(|_| io::Error::other("the thread that enters it failed"))??;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("wasm-netns")
            .on_thread_start(move || enter(&namespace).expect("another thread could enter it"))
            .enable_all()
            .build()?;
        Self::accepting(runtime, None)
    }

    fn accepting(runtime: Runtime, errands: Option<Errands>) -> io::Result<Self> {
        let acceptor = Arc::new(Acceptor::new()?);
        runtime.spawn(Arc::clone(&acceptor).run());
        Ok(Self { runtime: Arc::new(Owned(Some(runtime))), acceptor, errands })
    }

    /// Runs `future` on these threads; it is not cancelled when the handle is dropped.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle().spawn(future)
    }

    /// These threads, for as long as an executor has them.
    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.0.as_ref().expect("taken only when dropped").handle()
    }
}

/// How many threads guests of Pods without a network namespace share.
pub(crate) fn threads() -> usize {
    processors() + 1
}

/// How many processors there are. To learn it takes reading files of control groups, so that is done once.
pub(crate) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

fn enter(namespace: &File) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(io::Error::from)
}
