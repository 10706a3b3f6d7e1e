//! The life of the agent: open what it needs, register, work until it is told to stop, drain.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use wherry_dns::Zone;
use wherry_ingress::Metrics;
use wherry_oci_runtime::OciRuntime;
use wherry_runtime_api::RuntimeError;

use crate::access::Access;
use crate::admission::Admission;
use crate::allocations::Allocations;
use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::containers::Containers;
use crate::context::{Context, chain};
use crate::csi::Csi;
use crate::devices::{self, Devices};
use crate::dns::{self, ClusterDns, DnsSettings, Feed, GuestNames};
use crate::env::ServiceVariables;
use crate::events::{Events, Happening, Severity, Source};
use crate::eviction::{self, Evictions};
use crate::host_ports::{HostPortError, HostPorts};
use crate::images::control;
use crate::images::garbage::{self, Garbage};
use crate::images::{Images, StoreError};
use crate::in_process::InProcess;
use crate::ingress::{Ingress, IngressError};
use crate::logs::{LogDir, LogServer, LogState, Prepared, ServerError, trim_logs};
use crate::network::peers::{self, Own, Routes};
use crate::network::{self, Layout, NetworkConfig, NetworkError, NetworkMode, PodNetwork};
use crate::objects::Objects;
use crate::plugins;
use crate::pod_certificates::{self, PodCertificates};
use crate::pod_resources;
use crate::pods::{PodIndex, Supervisor};
use crate::policies::{self, Gate, Place, Requests};
use crate::probes::Tallies;
use crate::registration::{Facts, Machine, Registration};
use crate::resource_managers::{self, ResourceManagers};
use crate::runtimes::{self, Handler, Runtimes};
use crate::services::{self, ServicesConfig, ServicesError, SyncTimes};
use crate::shutdown::NodeShutdown;
use crate::static_pods::{self, Asker, Directory, DirectoryError, StaticPods};
use crate::stats::{self, StatsState};
use crate::streams::{self, StreamState};
use crate::tokens::Tokens;
use crate::trust_bundles::TrustBundles;
use crate::user_ids::{IdRange, UserIds};
use crate::volumes::{LocalVolumes, VolumeRoot, remove_deleted};
use crate::wakers::Wakers;

/// Why the agent cannot run. What fails later is told by events and tried again.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory cannot be made.
    #[error("cannot create directory {}", path.display())]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A runtime cannot be opened.
    #[error("cannot open a container runtime")]
    Runtime(#[from] RuntimeError),
    /// The image store cannot be opened.
    #[error("cannot open the image store")]
    Images(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The pod network cannot be opened.
    #[error("cannot open the pod network")]
    Network(#[from] NetworkError),
    /// The ports of the node cannot lead to pods.
    #[error("cannot lead hostPorts to pods")]
    HostPorts(#[from] HostPortError),
    /// The endpoint cannot be opened.
    #[error("cannot open the node's endpoint")]
    Server(#[from] ServerError),
    /// Static Pods cannot be found.
    #[error("cannot find static Pods")]
    Manifests(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What containers have of devices cannot be read.
    #[error(
        "cannot read which containers have which devices; if nothing can be done about it, remove the file, and they are \
             given to others"
    )]
    Devices(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Processors or devices cannot be given to containers for themselves.
    #[error("cannot give containers processors or devices for themselves")]
    ResourceManagers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Users cannot be set aside for pods.
    #[error("cannot set users aside for pods")]
    Users(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The Ingress controller cannot run.
    #[error("cannot run the Ingress controller")]
    Ingress(#[from] IngressError),
    /// Services cannot be served.
    #[error("cannot serve Services")]
    Services(#[from] ServicesError),
    /// The domain cannot be one.
    #[error("{domain:?} cannot be the domain of the cluster's names")]
    Domain {
        /// What was given.
        domain: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        Self::Images(Box::new(error))
    }
}

impl From<DirectoryError> for NodeError {
    fn from(error: DirectoryError) -> Self {
        Self::Manifests(Box::new(error))
    }
}

/// How a node calls the API server: as who it is for each of its tasks.
#[derive(Clone)]
pub struct Clients {
    /// The node itself, `system:node:NAME`, which may read what its Pods need.
    pub node: Client,
    /// The proxy of Services, which may follow all Services and endpoints.
    pub proxy: Client,
    /// The Ingress controller, which may read certificates; nobody where no requests are taken for Ingresses.
    pub ingress: Option<Client>,
}

/// Runs the agent of one node until `shutdown`; returns when everything of it has ended. OCI containers go on.
pub async fn run(clients: Clients, config: Config, shutdown: CancellationToken) -> Result<(), NodeError> {
    create_dir(&config.data_dir.join("node"))?;
    let dns = cluster_dns(&config)?;
    let policies = policies(&config)?;
    let in_process = InProcess::new(policies.0.judged());
    let names = Arc::new(GuestNames::new(dns.clone()));
    let opened = runtimes::open(&config, names, &in_process)?;
    let on_network = NetworkConfig {
        mode: config.network,
        pod_cidr: config.pod_cidr,
        cluster_cidr: config.cluster_cidr,
        service_cidr: config.service_cidr,
        data_dir: config.data_dir.join("node"),
        cni: config.cni.clone(),
    };
    let network = network::open(&on_network).await?;
    let host_ports = Arc::new(HostPorts::open(&on_network, config.node_ips()).await?);
    let runtimes = opened.runtimes;
    let parts = Parts { runtimes, network, host_ports: host_ports.clone(), policies, dns, in_process };
    let result = Box::pin(run_with(clients, config, parts, shutdown)).await;
    host_ports.close().await;
    close(&opened.oci).await;
    result
}

/// The names of the cluster; those of addresses of its ranges are known to nobody else.
pub(crate) fn cluster_dns(config: &Config) -> Result<Arc<ClusterDns>, NodeError> {
    let DnsSettings { domain, servers } = &config.dns;
    let ranges = config.service_cidr.iter().chain(config.cluster_cidr.iter()).collect();
    let zone = Zone::new(domain, servers.clone(), ranges);
    let zone =
        zone.map_err(|source| NodeError::Domain { domain: domain.clone(), source: Box::new(source) })?;
    Ok(Arc::new(ClusterDns::new(&config.dns, zone, Path::new(dns::NODE))))
}

/// The gate of network policies; always open where no kernel could be told of them, and where the network is the plugins' to keep.
fn policies(config: &Config) -> Result<(Gate, Option<(Place, Requests)>), NetworkError> {
    if config.network == NetworkMode::Loopback {
        return Ok((Gate::open(), None));
    }
    if config.cni.is_some() {
        return Ok((Gate::of_others(), None));
    }
    let layout = Layout::of(config.pod_cidr)?;
    let place = Place { node: config.node_name.clone(), layout };
    let (gate, requests) = Gate::new();
    Ok((gate, Some((place, requests))))
}

async fn close(oci: &OciRuntime) {
    oci.close().await;
}

/// What differs between a real node and a simulated one.
pub(crate) struct Parts {
    /// The runtimes.
    pub(crate) runtimes: Runtimes,
    /// Pod addresses.
    pub(crate) network: Arc<dyn PodNetwork>,
    /// Ports of the node that lead to pods.
    pub(crate) host_ports: Arc<HostPorts>,
    /// What lets pods onto the network, and whom it asks.
    pub(crate) policies: (Gate, Option<(Place, Requests)>),
    /// The names of the cluster.
    pub(crate) dns: Arc<ClusterDns>,
    /// Where requests of guests lead.
    pub(crate) in_process: InProcess,
}

/// Runs the agent with these parts.
pub(crate) async fn run_with(
    clients: Clients,
    config: Config,
    mut parts: Parts,
    shutdown: CancellationToken,
) -> Result<(), NodeError> {
    // Everything below ends with this token; the event writer goes on a little to tell the last events.
    let stop = CancellationToken::new();
    let _stop_on_return = stop.clone().drop_guard();
    let tasks = TaskTracker::new();
    let server = LogServer::bind(&config.endpoint).await?;
    let ingress = open_ingress(clients.ingress, &config, &parts.in_process).await?;
    let dns = parts.dns.clone();
    if let Some((place, requests)) = parts.policies.1.take() {
        tasks.spawn(policies::serve(clients.proxy.clone(), place, requests, stop.clone()));
    }
    let (agent, prepared) = Agent::open(clients.node, &config, parts, &tasks, &stop)?;
    agent.ctx.containers.refresh().await;
    let index = PodIndex::default();
    tasks.spawn(trim_logs(agent.ctx.logs.clone(), prepared, stop.clone()));
    tasks.spawn(remove_deleted(agent.ctx.client.clone(), agent.ctx.volumes.local().clone(), stop.clone()));
    let content = config.data_dir.join("node/content");
    tasks.spawn(garbage::collect(agent.ctx.clone(), content, stop.clone()));
    tasks.spawn(control::serve(agent.ctx.clone(), config.data_dir.join("node"), stop.clone()));
    for (_, runtime) in agent.ctx.runtimes.all() {
        tasks.spawn(agent.ctx.containers.clone().follow(runtime.clone(), stop.clone()));
    }
    tasks.spawn(agent.cgroups().keep(
        agent.ctx.runtimes.clone(),
        agent.ctx.allocations.clone(),
        stop.clone(),
    ));
    let (evictions, pressure) = agent.evictions(&index);
    let mut registration = Registration::new(agent.ctx.clone(), agent.facts(server.port()).await, pressure);
    let network = agent.ctx.network.clone();
    let stopped = stop.clone();
    tasks.spawn(async move {
        if let Some(network) = network.plugins() {
            network.follow(stopped).await;
        }
    });
    let streams = streams::router(agent.stream_state(&index, &tasks, &stop));
    let metrics = ingress.as_ref().map(|(_, ingress)| ingress.metrics());
    let others = streams.merge(stats::router(agent.stats_state(&index, metrics)));
    let access = Access::new(agent.ctx.client.clone(), config.node_name.clone());
    tasks.spawn(server.serve(agent.log_state(&index, &tasks, &stop), others, access));
    let ending = NodeShutdown::new(agent.ctx.clone(), index.clone(), config.shutdown_grace.clone());
    tasks.spawn(stop_after(ending, shutdown, stop.clone()));
    // Static Pods do not wait for the API server.
    let manifests = agent.manifests(&tasks, &stop)?;
    tasks.spawn(
        Supervisor::new(agent.ctx.clone(), index.clone(), manifests, tasks.clone(), stop.clone()).run(),
    );
    if registration.register(&stop).await {
        // Nobody but this run sets it, once.
        let _ = config.registered.set(());
    }
    agent.tell_started();
    tasks.spawn(registration.run(stop.clone()));
    tasks.spawn(devices::serve(agent.ctx.devices.clone(), stop.clone()));
    let resources =
        pod_resources::serve(agent.ctx.clone(), index.clone(), config.data_dir.join("node"), stop.clone());
    tasks.spawn(resources);
    tasks.spawn(resource_managers::keep(agent.ctx.clone(), stop.clone()));
    tasks.spawn(plugins::follow(agent.ctx.clone(), config.data_dir.join("node"), stop.clone()));
    tasks.spawn(evictions.run(stop.clone()));
    if let Some((client, ingress)) = ingress {
        tasks.spawn(ingress.run(client, config.clock.clone(), stop.clone()));
    }
    for ip in config.own_dns() {
        agent.own_dns_address(ip).await?;
        tasks.spawn(dns::serve(dns.clone(), ip, stop.clone()));
    }
    if config.network == NetworkMode::Bridge && config.cni.is_none() {
        let own = Own { name: config.node_name.clone(), address: config.node_ip, pods: config.pod_cidr };
        tasks.spawn(peers::keep(clients.proxy.clone(), Routes::open(own)?, stop.clone()));
    }
    let result = agent.serve_services(clients.proxy, Feed::new(dns), &stop).await;
    shutdown_tasks(&tasks, &stop).await;
    result
}

/// The users that pods may have for themselves.
fn users(dir: &Path, max_pods: u32) -> Result<UserIds, Box<dyn std::error::Error + Send + Sync>> {
    Ok(UserIds::open(dir.join("users"), IdRange::of_machine(max_pods)?)?)
}

/// Listens for Ingresses, if anybody is to.
async fn open_ingress(
    client: Option<Client>,
    config: &Config,
    in_process: &InProcess,
) -> Result<Option<(Client, Ingress)>, IngressError> {
    let Some(client) = client.filter(|_| config.ingress.any()) else { return Ok(None) };
    let (wanted, of_node) = (config.ingress, (config.node_ip, config.node_name.as_str()));
    Ok(Some((client, Ingress::open(wanted, of_node, in_process.clone()).await?)))
}

/// Stops the agent when it was asked to and its Pods have ended, as far as they are to.
async fn stop_after(ending: NodeShutdown, shutdown: CancellationToken, stop: CancellationToken) {
    ending.run(shutdown, &stop).await;
    stop.cancel();
}

async fn shutdown_tasks(tasks: &TaskTracker, stop: &CancellationToken) {
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}

struct Agent {
    ctx: Arc<Context>,
    config: Config,
    machine: Machine,
}

impl Agent {
    /// The agent, and where it is told of logs that are new.
    fn open(
        client: Client,
        config: &Config,
        parts: Parts,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(Self, Prepared), NodeError> {
        let dir = config.data_dir.join("node");
        let machine = Machine::observe(&config.data_dir).reserving(&config.resources);
        let devices = Arc::new(
            Devices::open(&dir, &config.resources.cdi_directories)
                .map_err(|error| NodeError::Devices(Box::new(error)))?,
        );
        let managers = ResourceManagers::open(&dir, devices.clone(), &config.resources);
        let wakers = Wakers::default();
        let (events, write_events) = Events::new(
            client.clone(),
            Source::kubelet(&config.node_name),
            config.clock.clone(),
            stop.clone(),
        );
        tasks.spawn(write_events);
        let (logs, prepared) = LogDir::new(dir.join("logs/pods"));
        let ctx = Context {
            clock: config.clock.clone(),
            node_name: config.node_name.clone(),
            host_ips: config.node_ips(),
            allocatable: machine.allocatable(config.max_pods),
            has_namespaces: config.network == NetworkMode::Bridge,
            evictions: Evictions::new(wakers.clone()),
            probe_tallies: Tallies::default(),
            service_syncs: SyncTimes::default(),
            in_process: parts.in_process,
            admission: Arc::new(Admission::observe(config.sysctls.clone())),
            cgroup_root: config.cgroup_root.clone(),
            allocations: Allocations::new(wakers.clone()),
            allocatable_amounts: machine.allocatable_amounts(),
            seccomp_profiles: dir.join("seccomp"),
            endpoint_drain: config.endpoint_drain,
            max_container_restart_period: config.max_container_restart_period,
            containers: Containers::new(parts.runtimes.clone(), wakers.clone()),
            runtimes: parts.runtimes,
            garbage: Garbage::new(config.image_limits),
            credential_providers: config.credential_providers.clone(),
            images: Images::open(
                &dir.join("content"),
                config.registries.clone(),
                config.image_signature_policy.clone(),
            )?,
            objects: Objects::new(&client, &wakers, tasks),
            tokens: Tokens::new(&client, &config.clock),
            trust_bundles: TrustBundles::new(&client, &wakers, tasks),
            pod_certificates: PodCertificates::new(
                pod_certificates::Parts {
                    client: &client,
                    clock: &config.clock,
                    node_name: &config.node_name,
                    pods: dir.join("pods"),
                    events: &events,
                    wakers: &wakers,
                },
                tasks,
            ),
            dns: config.dns.clone(),
            services: follow_services(client.clone(), tasks, stop),
            events,
            network: parts.network,
            host_ports: parts.host_ports,
            policies: parts.policies.0,
            devices,
            managers: Arc::new(managers.map_err(NodeError::ResourceManagers)?),
            user_ids: users(&dir, config.max_pods).map_err(NodeError::Users)?,
            csi: Csi::new(client.clone(), config.clock.clone(), &config.node_name, &dir),
            volumes: VolumeRoot::new(dir.join("pods"), local_volumes(config)),
            logs,
            wakers,
            client,
        };
        Ok((Self { ctx: Arc::new(ctx), config: config.clone(), machine }, prepared))
    }

    /// The groups above those of pods.
    fn cgroups(&self) -> Cgroups {
        let allocatable = self.machine.allocatable_amounts();
        Cgroups { root: self.config.cgroup_root.clone(), allocatable }
    }

    /// What ends Pods when the node is short, and what it is short of.
    fn evictions(&self, index: &PodIndex) -> (eviction::Manager, watch::Receiver<eviction::Pressure>) {
        let data_dir = self.config.data_dir.clone();
        let observe = Box::new(move || eviction::observe(&data_dir));
        eviction::Manager::new(self.ctx.clone(), index.clone(), self.config.eviction.clone(), observe)
    }

    async fn facts(&self, port: u16) -> Facts {
        Facts {
            name: self.config.node_name.clone(),
            ips: self.config.node_ips(),
            port,
            pod_cidrs: self.config.pod_cidr.iter().map(|range| range.to_string()).collect(),
            max_pods: self.config.max_pods,
            machine: self.machine.clone(),
            volumes: self.ctx.volumes.local().directory().to_owned(),
            handlers: self.handlers().await,
        }
    }

    /// The handlers of RuntimeClasses that there are, and whether pods can have users of their own in each.
    async fn handlers(&self) -> Vec<(&'static str, bool)> {
        let oci = self.ctx.runtimes.get(Handler::Runc);
        let can = oci.can_map_users().await;
        if let Err(error) = &can {
            debug!(error = %chain(error), "pods cannot have users of their own");
        }
        let mut handlers = vec![(Handler::Wasmtime.as_str(), false)];
        for program in wherry_oci_runtime::PROGRAMS {
            if oci.ready_with(program).await.is_ok() {
                handlers.push((program, can.is_ok()));
            }
        }
        // Without a RuntimeClass the image decides, and only OCI images have users.
        handlers.push(("", can.is_ok()));
        handlers
    }

    /// The static Pods; none without a directory and a URL of manifests.
    fn manifests(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<watch::Receiver<StaticPods>, DirectoryError> {
        let (node, clock) = (&self.ctx.node_name, &self.ctx.clock);
        let mut of_files = None;
        if let Some(path) = &self.config.pod_manifests {
            let (directory, pods) = Directory::open(path, node, clock.clone())?;
            tasks.spawn(directory.follow(stop.clone()));
            of_files = Some(pods);
        }
        let mut of_url = None;
        if let Some(url) = self.config.manifest_url.clone() {
            let (asker, pods) = Asker::new(url, node, clock.clone());
            tasks.spawn(asker.follow(stop.clone()));
            of_url = Some(pods);
        }
        Ok(match (of_files, of_url) {
            (None, None) => watch::channel(StaticPods::new()).1,
            (Some(pods), None) | (None, Some(pods)) => pods,
            (Some(files), Some(url)) => {
                let (pods, follow) = static_pods::join(files, url, stop.clone());
                tasks.spawn(follow);
                pods
            }
        })
    }

    fn log_state(&self, index: &PodIndex, tasks: &TaskTracker, stop: &CancellationToken) -> LogState {
        LogState {
            pods: index.clone(),
            dir: self.ctx.logs.clone(),
            containers: self.ctx.containers.clone(),
            clock: self.ctx.clock.clone(),
            tasks: tasks.clone(),
            shutdown: stop.clone(),
        }
    }

    fn stream_state(&self, index: &PodIndex, tasks: &TaskTracker, stop: &CancellationToken) -> StreamState {
        StreamState {
            pods: index.clone(),
            containers: self.ctx.containers.clone(),
            runtimes: self.ctx.runtimes.clone(),
            network: self.ctx.network.clone(),
            tasks: tasks.clone(),
            shutdown: stop.clone(),
        }
    }

    fn stats_state(&self, index: &PodIndex, ingress: Option<Arc<Metrics>>) -> StatsState {
        StatsState::new(self.ctx.clone(), index.clone(), self.machine.clone(), &self.config, ingress)
    }

    fn tell_started(&self) {
        let happening = Happening::of_pod(Severity::Normal, "Starting", "Starting wherry node agent.");
        self.ctx.events.node(&self.config.node_name, happening);
    }

    /// On loopback every address is the node's own.
    async fn own_dns_address(&self, ip: IpAddr) -> Result<(), NodeError> {
        match self.config.network {
            NetworkMode::Bridge => Ok(network::own_address(ip).await?),
            NetworkMode::Loopback => Ok(()),
        }
    }

    async fn serve_services(
        &self,
        client: Client,
        names: Feed,
        stop: &CancellationToken,
    ) -> Result<(), NodeError> {
        let config = ServicesConfig {
            mode: self.config.network,
            node_name: self.config.node_name.clone(),
            pod_cidr: self.config.pod_cidr,
            cluster_cidr: self.config.cluster_cidr,
            service_cidr: self.config.service_cidr,
            dns: self.config.own_dns(),
            node_port_address: self.config.node_ip,
        };
        let told = (names, self.ctx.service_syncs.clone(), self.ctx.in_process.leads.clone());
        Ok(services::run(client, config, told, stop.clone()).await?)
    }
}

/// Follows the Services of the cluster, for the environment of containers.
fn follow_services(client: Client, tasks: &TaskTracker, stop: &CancellationToken) -> ServiceVariables {
    let (variables, stop) = (ServiceVariables::default(), stop.clone());
    let events = watcher(Api::<Service>::all(client), watcher::Config::default()).default_backoff();
    let followed = variables.clone();
    tasks.spawn(async move { stop.run_until_cancelled(followed.follow(events)).await });
    variables
}

/// The volumes that are directories of this node.
fn local_volumes(config: &Config) -> LocalVolumes {
    let directory = config.data_dir.join("node/volumes");
    // The path is told to others, who do not know where we were started.
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    LocalVolumes::new(&config.node_name, &directory)
}

fn create_dir(path: &Path) -> Result<(), NodeError> {
    std::fs::create_dir_all(path).map_err(|source| NodeError::DataDir { path: path.to_owned(), source })
}
