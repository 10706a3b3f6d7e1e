//! The kinds of wasm that can be run, told from the bytes.

use std::path::Path;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstancePre, Module, Precompiled, ResourcesRequired};
use wasmtime_wasi::{p2, p3};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2 as http_p2, p3 as http_p3};

use crate::engine::{self, Machine};
#[cfg(feature = "compiler")]
use crate::expansion;
use crate::guest::{Guest, ModuleGuest};
#[cfg(feature = "compiler")]
use crate::inspect::not_wasm;
use crate::inspect::{HANDLERS, RUNS, Wasi, exported};

#[cfg(feature = "compiler")]
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
#[cfg(feature = "compiler")]
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Compiled code with its imports resolved: what instances are made of.
pub(crate) struct Program {
    /// What it is.
    pub(crate) kind: Kind,
    /// What it imports: interfaces of components, `module.function` of modules.
    pub(crate) imports: Vec<String>,
    /// The places an instance takes in the node's pool.
    pub(crate) places: u32,
}

/// The kinds of programs.
pub(crate) enum Kind {
    /// A server: a component that exports `wasi:http/incoming-handler`, or `wasi:http/handler` of WASI 0.3.
    Server(Server),
    /// A component that exports `wasi:cli/run`.
    Command(Command),
    /// A wasip1 module that exports `_start`.
    Module(InstancePre<ModuleGuest>),
}

/// A program that answers requests.
pub(crate) struct Server {
    /// What each request is answered by an instance of.
    pub(crate) proxy: ProxyPre<Guest>,
    /// Linear memory an instance begins with.
    pub(crate) initial_memory: u64,
    /// What runs beside it, if the component exports `wasi:cli/run` as well.
    pub(crate) command: Option<Command>,
}

impl Server {
    /// The engine it was compiled for.
    pub(crate) fn engine(&self) -> &Engine {
        match &self.proxy {
            ProxyPre::P2(proxy) => proxy.engine(),
            ProxyPre::P3(service) => service.engine(),
        }
    }
}

/// A component that runs to its exit.
pub(crate) enum Command {
    P2(p2::bindings::CommandPre<Guest>),
    P3(p3::bindings::CommandPre<Guest>),
}

impl Command {
    /// The engine it was compiled for.
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::P2(command) => command.engine(),
            Self::P3(command) => command.engine(),
        }
    }
}

impl Program {
    /// Whether it can run with arguments to an exit code.
    pub(crate) fn has_command(&self) -> bool {
        match &self.kind {
            Kind::Server(server) => server.command.is_some(),
            Kind::Command(_) | Kind::Module(_) => true,
        }
    }
}

/// Why bytes are no program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// The bytes are something else; the text says what.
    #[cfg(feature = "compiler")]
    #[error("{0}")]
    NotWasm(String),
    /// The bytes are damaged wasm or use features this engine lacks.
    #[cfg(feature = "compiler")]
    #[error("the WebAssembly is not valid: {0}")]
    Invalid(String),
    /// It expands to more than anybody should compile.
    #[cfg(feature = "compiler")]
    #[error(
        "the component is made of more than {} instances, or of components that are given to it",
        expansion::MOST
    )]
    Expands,
    /// Imports that are nobody's.
    #[error("the WebAssembly cannot be linked: {0}")]
    Link(String),
    /// It exports nothing to start.
    #[error("nothing to run: {0}")]
    NoEntry(String),
    /// There are no threads to compile on.
    #[cfg(feature = "compiler")]
    #[error("there are no threads for it: {0}")]
    Threads(String),
    /// Compiled code could not be loaded.
    #[error("compiled code cannot be loaded: {0}")]
    Load(String),
}

/// Compiles bytes, which come from an image and are trusted in nothing.
#[cfg(feature = "compiler")]
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let compiled = match bytes.first_chunk() {
        Some(&MODULE) => engine.precompile_module(bytes),
        // What cannot be read is the compiler's to tell.
        Some(&COMPONENT) if expansion::instances(bytes).is_ok_and(|count| count > expansion::MOST) => {
            return Err(ProgramError::Expands);
        }
        Some(&COMPONENT) => engine.precompile_component(bytes),
        _ => return Err(ProgramError::NotWasm(not_wasm(bytes))),
    };
    compiled.map_err(|error| ProgramError::Invalid(format!("{error:#}")))
}

/// Loads a file of compiled code.
#[expect(unsafe_code, reason = "wasmtime maps compiled code from its file")]
pub(crate) fn load(machine: &Machine, path: &Path) -> Result<Program, ProgramError> {
    let engine = &machine.engine;
    let failed = |error: wasmtime::Error| ProgramError::Load(format!("{error:#}"));
    match Engine::detect_precompiled_file(path).map_err(failed)? {
        Some(Precompiled::Module) => {
            // SAFETY: the file was written by this process or an earlier one from the output of `compile`, here or where
            // somebody signed it whom the node's owner trusts, into a directory only its owner can write to, and the
            // caller has checked its seal.
            let module = unsafe { Module::deserialize_file(engine, path) }.map_err(failed)?;
            link_module(machine, &module)
        }
        Some(Precompiled::Component) => {
            // SAFETY: as above.
            let component = |engine| unsafe { Component::deserialize_file(engine, path) };
            // An engine takes no code of another.
            if let Ok(component) = component(engine) {
                return link_component(&machine.components, &component);
            }
            let component = component(&machine.concurrent.engine).map_err(failed)?;
            link_component(&machine.concurrent.components, &component)
        }
        None => Err(ProgramError::Load("the file holds no compiled code".into())),
    }
}

fn link_module(machine: &Machine, module: &Module) -> Result<Program, ProgramError> {
    if module.get_export("_start").is_none() {
        return Err(ProgramError::NoEntry(
            "the module exports no _start; build a command (a program with a main function), not a library"
                .into(),
        ));
    }
    let linked = machine.modules.instantiate_pre(module).map_err(|error| link_error(&error))?;
    let imports = module.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect();
    let places = places(Some(&module.resources_required()));
    Ok(Program { kind: Kind::Module(linked), imports, places })
}

fn link_component(linker: &Linker<Guest>, component: &Component) -> Result<Program, ProgramError> {
    let (ty, engine) = (component.component_type(), component.engine());
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let linked = linker.instantiate_pre(component).map_err(|error| link_error(&error))?;
    let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let places = places(component.resources_required().as_ref());
    let command = exported(&exports, RUNS).map(|version| match version {
        Wasi::P2 => p2::bindings::CommandPre::new(linked.clone()).map(Command::P2),
        Wasi::P3 => p3::bindings::CommandPre::new(linked.clone()).map(Command::P3),
    });
    let command = command.transpose().map_err(|error| link_error(&error))?;
    let proxy = exported(&exports, HANDLERS).map(|version| match version {
        Wasi::P2 => http_p2::bindings::ProxyPre::new(linked).map(ProxyPre::P2),
        Wasi::P3 => http_p3::bindings::ServicePre::new(linked).map(ProxyPre::P3),
    });
    let kind = match (proxy.transpose().map_err(|error| link_error(&error))?, command) {
        (Some(proxy), command) => {
            Kind::Server(Server { proxy, initial_memory: initial_memory(component), command })
        }
        (None, Some(command)) => Kind::Command(command),
        (None, None) => return Err(ProgramError::NoEntry(no_entry(&exports))),
    };
    Ok(Program { kind, imports, places })
}

/// The places of the pool that have the memories and tables an instance needs.
fn places(required: Option<&ResourcesRequired>) -> u32 {
    required.map_or(1, |required| {
        let memories = required.num_memories.div_ceil(engine::MEMORIES_PER_SLOT);
        memories.max(required.num_tables.div_ceil(engine::TABLES_PER_SLOT)).max(1)
    })
}

fn no_entry(exports: &[&str]) -> String {
    let known = [HANDLERS, RUNS].concat();
    let known: Vec<_> = known.iter().map(|(_, name)| format!("{name}x")).collect();
    let known = known.join(", ");
    let other = exports.iter().find(|name| name.starts_with("wasi:http/") || name.starts_with("wasi:cli/"));
    match other {
        Some(name) => format!("the component exports {name}; what can be started is one of {known}"),
        None => format!("the component exports none of {known}"),
    }
}

fn link_error(error: &wasmtime::Error) -> ProgramError {
    ProgramError::Link(format!("{error:#}"))
}

fn initial_memory(component: &Component) -> u64 {
    const PAGE: u64 = 64 * 1024;
    component.resources_required().map_or(0, |resources| {
        u64::from(resources.num_memories) * resources.max_initial_memory_size.unwrap_or(0) * PAGE
    })
}
