//! The `Runtime` on wasmtime: WASI components and modules as containers.
//!
//! A wasm container is no process. A `wasi:http/proxy` component (WASI 0.2) or `wasi:http/service` (0.3) is served on the pod's address, with a fresh
//! instance per request; a `wasi:cli` command (component or wasip1 module) runs to its exit. Compiled code is kept
//! on disk by digest, so that the second start of an image takes a millisecond.
//!
//! # What differs from a process
//! - **Signals**: wasm knows none. Stopping a server lets the requests in flight finish (exit code 0; 137 if the
//!   grace period ends first); stopping a command interrupts it at once (143, as a process that does not handle
//!   SIGTERM); removing a running container kills it (137).
//! - **Exit codes**: a component tells its code by `exit-with-code`; one whose language library knows only success and
//!   failure (Rust's on wasip2) ends with 0 or 1.
//! - **Memory limit**: covers linear memories and tables of all instances together; exceeding it ends the container
//!   (`OOMKilled`, 137), but of a command beside it only that command.
//! - **Processors**: the request is a weight as of cgroups, the limit a budget in every 100 ms as of the kernel's bandwidth
//!   control; guests are interrupted every few milliseconds to keep both.
//! - **Commands beside it** (exec): are other instances of the image, with arguments of their own; a server's image must
//!   export `wasi:cli/run` as well.
//! - **Traps**: end a command with 134 (as an abort would), a request with 500. Their cause and backtrace are in the container's log, and in the status of a
//!   command; a core dump is in a volume where the Pod asks for it.
//! - **Lifetime**: containers live in this process. After a restart of it [`WasmRuntime`] lists none.
//! - **Files**: there is no root file system, only the mounts.
//! - **Network**: a pod without a network namespace has one address. Binding `0.0.0.0` binds that address,
//!   connections come from it, `127.0.0.1` means it.
//!
//! # Reading order
//! [`config`], `runtime` (the contract), `images`, `compiler`, `code_cache` and `seal` (bytes to code), `target`, `precompile`,
//! `archive` and `imported` (code of one machine for another), `program` (the kinds), `inspect`, `expansion`, `concurrency`,
//! `container` (the state machine), `serve`, `spares` and `command` (the two ways to run), `p3` (the same in WASI 0.3), `exec` and `streams` (commands beside
//! them), `guest`, `variables` and `interfaces` (what an instance sees), `core_dumps` (what is left of those that trap), `memory`, `processor`, `bandwidth`, `turns` and `held` (what it may take), `settings`,
//! `level`, `capabilities`, `egress` and `found` (what its Pod gives it), `network`, `sockets`, `names`, `handler`, `under_way`, `outgoing`, `connector` (its
//! network), `paths`, `way`, `servers`, `handed` and `at_once` (requests that need no connection), `engine`, `ticker`, `executor` and `acceptor` (what all share).

mod acceptor;
mod archive;
mod at_once;
mod attach;
mod bandwidth;
mod capabilities;
mod code_cache;
mod command;
#[cfg(feature = "compiler")]
mod compiler;
#[cfg(feature = "compiler")]
mod concurrency;
pub mod config;
mod connector;
mod container;
mod core_dumps;
mod egress;
mod engine;
mod errands;
mod exec;
mod executor;
#[cfg(feature = "compiler")]
mod expansion;
mod found;
mod guest;
mod handed;
mod handler;
mod held;
mod images;
mod imported;
mod inspect;
mod interfaces;
mod level;
mod log_file;
mod memory;
mod names;
mod network;
mod outgoing;
mod p3;
mod paths;
mod pod_limits;
#[cfg(feature = "compiler")]
mod precompile;
mod preopens;
mod processor;
mod program;
mod remarks;
mod response;
mod runtime;
mod seal;
mod serve;
mod servers;
mod settings;
mod sockets;
mod spares;
mod streams;
mod target;
mod ticker;
mod trap;
mod turns;
mod under_way;
mod variables;
mod way;

pub use archive::{Archive, ArchiveError};
pub use config::{Clock, Config, Limits, Output};
pub use handed::{Listener, Listening};
pub use imported::{ImportError, Imported, ImportedCode};
pub use inspect::{Form, InspectError, Inspection, Start, inspect};
pub use interfaces::keyvalue::redis::{Redis, RedisUrlError};
pub use names::Names;
pub use paths::{Path, Paths};
#[cfg(feature = "compiler")]
pub use precompile::{CompileError, compile};
pub use runtime::{Statistics, WasmRuntime};
pub use target::{AddressSpace, Target, UnknownTarget};
