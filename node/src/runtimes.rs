//! The runtimes of this node, by RuntimeClass handler.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wherry_oci_runtime::OciRuntime;
use wherry_runtime_api::{ImageContent, Runtime, RuntimeError};
use wherry_wasm_runtime::{Names, WasmRuntime};

use crate::config::Config;
use crate::in_process::InProcess;

/// A RuntimeClass handler this node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Handler {
    /// WebAssembly in wasmtime.
    Wasmtime,
    /// OCI images through runc, or another OCI runtime.
    Runc,
}

impl Handler {
    /// Both handlers.
    pub(crate) const ALL: [Self; 2] = [Self::Wasmtime, Self::Runc];

    /// The handler's name, which is also the scheme of its container ids.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::Runc => "runc",
        }
    }

    /// The handler that runs such content.
    pub(crate) fn of(content: &ImageContent) -> Self {
        match content {
            ImageContent::Wasm { .. } => Self::Wasmtime,
            ImageContent::Oci { .. } => Self::Runc,
        }
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a RuntimeClass asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forced {
    /// What is to run its containers.
    pub(crate) handler: Handler,
    /// By which OCI runtime, if it is to be one.
    pub(crate) program: Option<&'static str>,
}

impl Forced {
    /// What the handler of a RuntimeClass stands for.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == Handler::Wasmtime.as_str() {
            return Some(Self { handler: Handler::Wasmtime, program: None });
        }
        let program = wherry_oci_runtime::PROGRAMS.into_iter().find(|program| *program == name)?;
        Some(Self { handler: Handler::Runc, program: Some(program) })
    }
}

/// Both runtimes; each says itself, by `ready`, whether it can run anything here.
#[derive(Clone)]
pub(crate) struct Runtimes {
    wasmtime: Arc<dyn Runtime>,
    runc: Arc<dyn Runtime>,
}

impl Runtimes {
    /// Joins the two.
    pub(crate) fn new(wasmtime: Arc<dyn Runtime>, runc: Arc<dyn Runtime>) -> Self {
        Self { wasmtime, runc }
    }

    /// The runtime behind the handler.
    pub(crate) fn get(&self, handler: Handler) -> &Arc<dyn Runtime> {
        match handler {
            Handler::Wasmtime => &self.wasmtime,
            Handler::Runc => &self.runc,
        }
    }

    /// Every runtime with its handler.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Handler, &Arc<dyn Runtime>)> {
        Handler::ALL.into_iter().map(|handler| (handler, self.get(handler)))
    }
}

/// The runtimes of a real node.
pub(crate) struct Opened {
    /// Both, behind their contract.
    pub(crate) runtimes: Runtimes,
    /// The OCI runtime once more, to be closed.
    pub(crate) oci: Arc<OciRuntime>,
}

/// Where the runtime of WebAssembly has its files, below the data directory of a node.
pub fn wasm_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("node/wasm")
}

/// Opens both runtimes of this node. Guests without a resolver of their own find hosts by `names`.
pub(crate) fn open(
    config: &Config,
    names: Arc<dyn Names>,
    in_process: &InProcess,
) -> Result<Opened, RuntimeError> {
    let dir = config.data_dir.join("node");
    let clock = config.clock.clone();
    let now: wherry_wasm_runtime::Clock = Arc::new(move || clock.now());
    let mut wasm = wherry_wasm_runtime::Config::new(wasm_dir(&config.data_dir), now.clone());
    wasm.compiles &= config.compiles_wasm;
    wasm.redis.clone_from(&config.keyvalue_redis);
    wasm.names = names;
    wasm.paths = Arc::new(in_process.clone());
    wasm.listening = in_process.listening.clone();
    wasm.node_addresses = config.own_addresses();
    let wasm = WasmRuntime::new(wasm)?;
    let mut oci = wherry_oci_runtime::Config::new(dir.join("oci"));
    oci.clock = now;
    oci.runtime_binary.clone_from(&config.oci_runtime);
    oci.shims_cgroup = config.cgroup_root.shims();
    let oci = Arc::new(OciRuntime::new(oci)?);
    Ok(Opened { runtimes: Runtimes::new(Arc::new(wasm), oci.clone()), oci })
}
