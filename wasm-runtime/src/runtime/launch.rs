//! From Created to Running: what a container has, where its server listens, and what waits for its end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_runtime_api::{RuntimeError, RuntimeEvent, SandboxSpec};

use super::WasmRuntime;
use crate::attach::{self, Doors, Ends};
use crate::command;
use crate::config::{Clock, Output};
use crate::connector::Connector;
use crate::container::{Container, Exit};
use crate::core_dumps::{CoreDumps, Place};
use crate::executor::Executor;
use crate::guest::{self, Environment};
use crate::held::Allowance;
use crate::interfaces::{blobs, keyvalue};
use crate::log_file::LogFile;
use crate::names::PodNames;
use crate::network::PodNetwork;
use crate::outgoing::Outgoing;
use crate::preopens::{self, Directories};
use crate::program::{Kind, Server};
use crate::remarks::Remarks;
use crate::serve::{self, Entrances, Service};
use crate::spares::Spares;
use crate::variables::Variables;
use crate::way::Ways;

/// Port of a server whose container declares none.
const DEFAULT_PORT: u16 = 80;

impl WasmRuntime {
    fn environment(&self, container: &Container, doors: Doors) -> Result<Environment, RuntimeError> {
        let spec = &container.spec;
        let opened = match self.output {
            Output::Logs => LogFile::open(&spec.log_path, Arc::clone(&self.clock)),
            Output::Inherited => Ok(LogFile::of_process(Arc::clone(&self.clock))),
        };
        let path = || spec.log_path.clone();
        let invalid = |reason| RuntimeError::InvalidSpec { id: spec.id.clone(), reason };
        let log = opened.map_err(|source| RuntimeError::Io {
            action: "open the log file",
            path: path(),
            source,
        })?;
        let preopens = preopens::prepare(&spec.mounts, &self.staging(&spec.id))
            .map_err(|error| invalid(error.to_string()))?;
        let uses = |package| container.program.imports.iter().any(|import| import.starts_with(package));
        let place = container.settings.keyvalue.as_ref().filter(|_| uses(keyvalue::PACKAGE));
        let keyvalue = self.stores.buckets(spec, place).map_err(|error| invalid(error.to_string()))?;
        let mount = container.settings.blobstore.as_deref();
        let blobs = uses(blobs::PACKAGE).then(|| self.stores.blobs(spec, mount)).transpose();
        let blobs = blobs.map_err(|error| invalid(error.to_string()))?;
        let network = PodNetwork {
            ip: spec.sandbox.ip,
            ip6: spec.sandbox.ip6,
            own_namespace: spec.sandbox.netns.is_some(),
            egress: container.settings.egress.clone(),
            node: Arc::clone(&self.node_addresses),
            found: Arc::default(),
        };
        let remarks = Arc::new(Remarks::new(log.clone()));
        let names = PodNames { names: Arc::clone(&self.names), dns: Arc::new(spec.sandbox.dns.clone()) };
        let sockets = Allowance::new(self.limits.sockets);
        let connector = Connector {
            network: network.clone(),
            names: names.clone(),
            sockets: sockets.clone(),
            remarks: Arc::clone(&remarks),
        };
        let ways = container.settings.in_process.then(|| Ways {
            connector: connector.clone(),
            paths: Arc::clone(&self.paths),
            servers: Arc::clone(&self.servers),
        });
        let outgoing = Outgoing::new(connector, self.paths.clone(), ways);
        Ok(Environment {
            sockets,
            handles: self.limits.handles,
            remarks,
            arguments: guest::arguments(spec),
            variables: Arc::new(Variables::of(spec)),
            keyvalue,
            blobs,
            working_dir: spec.working_dir.as_deref().map(Arc::from),
            directories: Directories::new(preopens),
            log,
            doors,
            network,
            outgoing,
            names,
            core_dumps: self.core_dumps(container)?,
            memory: Arc::clone(&container.memory),
            processor: Arc::clone(&container.processor),
        })
    }

    /// What makes the core dumps of a container, if they are wanted.
    fn core_dumps(&self, container: &Container) -> Result<Option<Arc<CoreDumps>>, RuntimeError> {
        let spec = &container.spec;
        let invalid = |reason| RuntimeError::InvalidSpec { id: spec.id.clone(), reason };
        let place = match (&self.core_dump, &container.settings.core_dumps) {
            (Some(file), _) => Place::File(file.clone()),
            (None, Some(path)) => Place::mounted(spec, path).map_err(|error| invalid(error.to_string()))?,
            (None, None) => return Ok(None),
        };
        let of = format!("{}.{}", spec.sandbox.hostname, spec.id.name);
        let (turn, clock) = (Arc::clone(&self.machine.dumping), Arc::clone(&self.clock));
        Ok(Some(Arc::new(CoreDumps { place, of, limits: self.limits, turn, clock })))
    }

    /// Created to Running.
    pub(super) async fn launch(&self, container: &Arc<Container>) -> Result<(), RuntimeError> {
        let executor = self.executor(&container.spec.sandbox).await?;
        let (doors, ends) = match &container.program.kind {
            // A server has nobody to read from.
            Kind::Server(_) => (Doors::None, Ends::Log { stdin: None }),
            Kind::Command(_) | Kind::Module(_) => attach::open(container.spec.streams).map_err(|error| {
                RuntimeError::Failed { step: "opening a terminal".into(), reason: error.to_string() }
            })?,
        };
        let environment = Arc::new(self.environment(container, doors)?);
        match &container.program.kind {
            Kind::Server(server) => {
                let (service, entrances) = self.listen(container, server, &environment, &executor).await?;
                self.attend(container, &executor, environment, serve::end(service, entrances));
            }
            Kind::Command(_) | Kind::Module(_) => {
                let (machine, program) = (Arc::clone(&self.machine), Arc::clone(&container.program));
                let signals = container.signals.clone();
                let run = command::run(machine, program, Arc::clone(&environment), ends, signals);
                self.supervise(container, &executor, environment, run);
            }
        }
        Ok(())
    }

    async fn listen(
        &self,
        container: &Arc<Container>,
        server: &Server,
        environment: &Arc<Environment>,
        executor: &Executor,
    ) -> Result<(Arc<Service>, Entrances), RuntimeError> {
        let spec = &container.spec;
        let memory_limit = spec.resources.memory_limit_bytes;
        if let Some(limit) = memory_limit.filter(|limit| *limit < server.initial_memory) {
            let needed = server.initial_memory;
            let reason =
                format!("its memory limit of {limit} bytes is below the {needed} bytes it begins with");
            return Err(RuntimeError::InvalidSpec { id: spec.id.clone(), reason });
        }
        let port = spec.ports.first().copied().unwrap_or(DEFAULT_PORT);
        let addresses: Vec<_> = doors(&spec.sandbox).map(|ip| SocketAddr::new(ip, port)).collect();
        let address = SocketAddr::new(spec.sandbox.ip, port);
        let named: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let step = format!("bind {}", named.join(" and "));
        let failed = |reason: String| RuntimeError::Failed { step: step.clone(), reason };
        let listeners = executor
            .spawn(async move { serve::bind_all(&addresses) })
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        let concurrency = serve::concurrency(server, &self.limits, memory_limit);
        let service = Service {
            machine: Arc::clone(&self.machine),
            program: Arc::clone(&container.program),
            environment: Arc::clone(environment),
            limits: self.limits,
            request_timeout: container.settings.request_timeout,
            spares: Spares::new(
                container.settings.instance_reuse,
                container.program.places,
                self.limits.spare_idle,
                Arc::clone(&self.machine.kept),
            ),
            exceeded: OnceLock::new(),
            signals: container.signals.clone(),
            permits: Arc::new(Semaphore::new(concurrency)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            address,
            last_request: Mutex::new(Instant::now()),
            threads: executor.handle().clone(),
            errands: executor.errands.clone(),
            clock: Arc::clone(&self.clock),
        };
        let service = Arc::new(service);
        let open = |listener| executor.acceptor.open(listener, Arc::clone(&service));
        let doors: io::Result<Vec<_>> = listeners.into_iter().map(open).collect();
        let doors = doors.map_err(|error| failed(error.to_string()))?;
        let ips = [Some(spec.sandbox.ip), spec.sandbox.ip6.map(IpAddr::V6)];
        let found_at = ips.into_iter().flatten().map(|ip| SocketAddr::new(ip, port)).collect();
        let listed = self.servers.list(found_at, &service);
        Ok((service, Entrances { doors, listed }))
    }

    /// Has the container run, which takes no task until it is asked to end, and records how it ended.
    fn attend(
        &self,
        container: &Arc<Container>,
        executor: &Executor,
        environment: Arc<Environment>,
        end: impl Future<Output = Exit> + Send + 'static,
    ) {
        if !container.run((self.clock)(), environment) {
            return;
        }
        let (running, executor) = (Arc::downgrade(container), executor.clone());
        let (clock, events) = (Arc::clone(&self.clock), self.events.clone());
        container.end_by(move || {
            if let Some(container) = running.upgrade() {
                executor.spawn(to_the_end(container, end, clock, events));
            }
        });
    }

    /// Runs the container and records how it ended.
    fn supervise(
        &self,
        container: &Arc<Container>,
        executor: &Executor,
        environment: Arc<Environment>,
        run: impl Future<Output = Exit> + Send + 'static,
    ) {
        if !container.run((self.clock)(), environment) {
            return;
        }
        let (clock, events) = (Arc::clone(&self.clock), self.events.clone());
        executor.spawn(to_the_end(Arc::clone(container), run, clock, events));
    }
}

/// Records how a container ended, and tells it.
async fn to_the_end(
    container: Arc<Container>,
    run: impl Future<Output = Exit> + Send,
    clock: Clock,
    events: broadcast::Sender<RuntimeEvent>,
) {
    let exit = AssertUnwindSafe(run).catch_unwind().await;
    let exit = exit.unwrap_or_else(|_| Exit::trapped("the runtime failed".into()));
    tracing::debug!(container = %container.spec.id, code = exit.code, "container ended");
    if container.end(clock(), exit) {
        // Nobody may be listening.
        let _ = events.send(RuntimeEvent { id: container.spec.id.clone() });
    }
}

/// Where a server of the Pod listens. In a network namespace of its own the Pod's other containers also come by localhost, and one
/// socket of IPv6 serves both families.
fn doors(sandbox: &SandboxSpec) -> impl Iterator<Item = IpAddr> + use<> {
    let SandboxSpec { ip, ip6, netns, .. } = sandbox;
    let (first, second) = match (netns, ip) {
        (None, _) => (*ip, ip6.map(IpAddr::V6)),
        (Some(_), IpAddr::V4(_)) if ip6.is_none() => (Ipv4Addr::UNSPECIFIED.into(), None),
        (Some(_), _) => (Ipv6Addr::UNSPECIFIED.into(), None),
    };
    [Some(first), second].into_iter().flatten()
}
