//! What an instance sees of the world: arguments, environment, files, output, network.

use std::sync::Arc;

use http::Request;
use tokio::sync::oneshot;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::cli::AsyncStdinStream;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ImageContent};

use crate::attach::Doors;
use crate::core_dumps::CoreDumps;
use crate::handler::Answered;
use crate::held::{Allowance, Held};
use crate::interfaces::blobs::Blobs;
use crate::interfaces::keyvalue::Buckets;
use crate::log_file::LogFile;
use crate::memory::{Budget, Meter};
use crate::names::PodNames;
use crate::network::PodNetwork;
use crate::outgoing::Outgoing;
use crate::preopens::Directories;
use crate::processor::Processor;
use crate::remarks::Remarks;
use crate::streams::{End, Outlet};
use crate::under_way::Requests;
use crate::variables::Variables;
use crate::{ticker, under_way};

/// The state of a component's store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    _directories: Option<Arc<WasiFilesystemCtx>>,
    table: ResourceTable,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    /// What it has in common with others of its container.
    pub(crate) environment: Arc<Environment>,
    /// Where its requests are driven, while somebody does.
    pub(crate) requests: Option<Requests>,
    memory: Meter,
    /// The sockets it has open.
    pub(crate) open_sockets: Held,
    /// Its `argv`.
    pub(crate) arguments: Arc<[String]>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

impl Guest {
    /// Sends a request of its.
    pub(crate) fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> oneshot::Receiver<Answered> {
        under_way::send(&self.outgoing, self.requests.as_ref(), request, options)
    }
}

/// The state of a wasip1 module's store.
pub(crate) struct ModuleGuest {
    /// The functions a module imports.
    pub(crate) wasi: WasiP1Ctx,
    _directories: Option<Arc<WasiFilesystemCtx>>,
    memory: Meter,
}

/// What an instance is to its container.
pub(crate) enum Role {
    /// Its program, which writes to its log.
    Program {
        /// What it reads, if anything.
        stdin: Option<End<AsyncStdinStream>>,
    },
    /// What has streams of its own: a command beside the program, or a program with a terminal.
    Streaming {
        /// `argv`, never empty.
        arguments: Arc<[String]>,
        stdin: End<AsyncStdinStream>,
        stdout: Outlet,
        stderr: Outlet,
    },
}

impl Role {
    fn arguments(&self, of_container: &Arc<[String]>) -> Arc<[String]> {
        Arc::clone(match self {
            Self::Program { .. } => of_container,
            Self::Streaming { arguments, .. } => arguments,
        })
    }
}

/// Everything instances of one container have in common. They share it as a whole: a fresh instance costs less the less it counts.
pub(crate) struct Environment {
    /// `argv`, never empty.
    pub(crate) arguments: Arc<[String]>,
    /// The environment.
    pub(crate) variables: Arc<Variables>,
    /// The working directory if one was asked for.
    pub(crate) working_dir: Option<Arc<str>>,
    /// The mounts.
    pub(crate) directories: Directories,
    /// Where output goes.
    pub(crate) log: LogFile,
    /// What those who attach to the program may use.
    pub(crate) doors: Doors,
    /// What was refused.
    pub(crate) remarks: Arc<Remarks>,
    /// The sockets there may be.
    pub(crate) sockets: Allowance,
    /// How much else an instance may have open.
    pub(crate) handles: usize,
    /// The pod's network.
    pub(crate) network: PodNetwork,
    /// The names the pod knows.
    pub(crate) names: PodNames,
    /// What its pod keeps for `wasi:keyvalue`.
    pub(crate) keyvalue: Buckets,
    /// What its pod keeps for `wasi:blobstore`, if it imports that.
    pub(crate) blobs: Option<Arc<Blobs>>,
    /// Client of outgoing requests.
    pub(crate) outgoing: Outgoing,
    /// The memory limit.
    pub(crate) memory: Arc<Budget>,
    /// Where the core dumps of its instances go, if they are wanted.
    pub(crate) core_dumps: Option<Arc<CoreDumps>>,
    /// Where the time it computes is counted.
    pub(crate) processor: Arc<Processor>,
}

impl Environment {
    /// A store for one instance of a component.
    pub(crate) fn store(self: &Arc<Self>, engine: &Engine, role: Role) -> wasmtime::Result<Store<Guest>> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.handles);
        let (arguments, directories) = (role.arguments(&self.arguments), self.directories.open()?);
        let open_sockets = Held::new(self.sockets.clone());
        let mut wasi = self.wasi(role, open_sockets.clone()).build();
        if let Some(directories) = &directories {
            wasi.filesystem().clone_from(directories);
        }
        let guest = Guest {
            arguments,
            wasi,
            _directories: directories,
            table,
            http: WasiHttpCtx::new(),
            outgoing: self.outgoing.clone(),
            environment: Arc::clone(self),
            requests: None,
            memory: Meter::new(Arc::clone(&self.memory)),
            open_sockets,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        if store.concurrent_resource_table().is_some() {
            // Streams and futures between guest and host are in no table of the host.
            store.set_max_component_handles(self.handles);
        }
        ticker::give_way(&mut store);
        Ok(store)
    }

    /// A store for one instance of a wasip1 module.
    pub(crate) fn module_store(
        self: &Arc<Self>,
        engine: &Engine,
        role: Role,
    ) -> wasmtime::Result<Store<ModuleGuest>> {
        let arguments = role.arguments(&self.arguments);
        let directories = self.directories.open()?;
        let mut builder = self.wasi(role, Held::new(self.sockets.clone()));
        builder.args(&arguments).envs(self.variables.all());
        if let Some(directory) = &self.working_dir {
            builder.initial_cwd(&**directory);
        }
        let mut wasi = builder.build_p1();
        wasi.ctx().table.set_max_capacity(self.handles);
        if let Some(directories) = &directories {
            wasi.ctx().ctx.filesystem().clone_from(directories);
        }
        let memory = Meter::new(Arc::clone(&self.memory));
        let guest = ModuleGuest { wasi, _directories: directories, memory };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        ticker::give_way(&mut store);
        Ok(store)
    }

    /// All but directories, and what components are told by `interfaces::environment`.
    fn wasi(self: &Arc<Self>, role: Role, open_sockets: Held) -> WasiCtxBuilder {
        let environment = Arc::clone(self);
        let mut builder = WasiCtx::builder();
        match role {
            Role::Program { stdin } => {
                if let Some(stdin) = stdin {
                    builder.stdin(stdin);
                }
                match (self.log.stream(Stream::Stdout), self.log.stream(Stream::Stderr)) {
                    (Some(stdout), Some(stderr)) => builder.stdout(stdout).stderr(stderr),
                    _ => builder.inherit_stdio(),
                }
            }
            Role::Streaming { stdin, stdout, stderr, .. } => {
                builder.stdin(stdin).stdout(stdout).stderr(stderr)
            }
        };
        builder.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(
            move |address, operation| {
                let permitted = environment.network.permits(address, operation);
                let remarks = &environment.remarks;
                if !permitted {
                    remarks.refused(&format!("{address} is out of this Pod's reach"));
                }
                let accepted = permitted && matches!(operation, SocketAddrUse::TcpAccept);
                let counted = if accepted { open_sockets.take() } else { Ok(()) };
                if let Err(error) = &counted {
                    remarks.refused(&error.to_string());
                }
                Box::pin(std::future::ready(permitted && counted.is_ok()))
            },
        );
        builder
    }
}

/// `argv`: the command (else the image's entrypoint, else the container's name) and the arguments.
pub(crate) fn arguments(spec: &ContainerSpec) -> Arc<[String]> {
    let entrypoint = match &spec.image {
        ImageContent::Wasm { entrypoint, .. } => entrypoint.clone(),
        ImageContent::Oci { .. } => Vec::new(),
    };
    let mut arguments = spec.command.clone().filter(|command| !command.is_empty()).unwrap_or(entrypoint);
    if arguments.is_empty() {
        arguments.push(spec.id.name.clone());
    }
    arguments.extend(spec.args.iter().flatten().cloned());
    arguments.into()
}
