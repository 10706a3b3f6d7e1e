//! What runs in a control plane, and in which order it starts and stops.
//!
//! ```text
//! start: certificates -> store -> API server -> bootstrap objects -> controllers, scheduler -> ready
//! stop:  controllers, scheduler -> API server (drains requests, ends watches) -> store (flushes)
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};
use ipnet::IpNet;
use kube::Client;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::{ServiceExt as _, service_fn};
use wherry_api::clock::Clock;
use wherry_api::kinds::SwitchedOn;
use wherry_api::ranges::{Ranges, numbered};
use wherry_apiserver::audit::AuditConfig;
use wherry_apiserver::encryption::Encryption;
use wherry_apiserver::{
    Admission, ApiServer, Authentication, Authorization, Build, RequestHeaders, Tokens, UserInfo,
};
use wherry_controllers::{Autoscaling, NodeRanges, TokenMinter};
use wherry_metrics::MetricsServer;
use wherry_scheduler::Configuration;
use wherry_store::{Seal, Store};

use crate::account_tokens::AccountTokens;
use crate::bootstrap::{self, ApiAddress};
use crate::certificates::{Certificates, CertificatesInUse};
use crate::election::{Candidate, LeaderElection};
use crate::encryption::{self, EncryptionFile};
use crate::gateway_api;
use crate::optional_apis;
use crate::pki::sign::RequestSigner;
use crate::pki::{Pki, PkiError, rotation};
use crate::secrets::{self, SecretsError};
use crate::usage::{self, UsageMetrics};

/// What clients in this process take, unless they say so themselves.
const LEAN: HeaderValue = HeaderValue::from_static("application/json;managedFields=omit");

/// What a control plane is made of.
pub struct Config {
    /// Holds the store.
    pub data_dir: PathBuf,
    /// Where the API server's users find it.
    pub address: SocketAddr,
    /// Its bound sockets.
    pub listeners: Vec<TcpListener>,
    /// Where Pods find it, if they can.
    pub advertised: Option<SocketAddr>,
    /// The certificates.
    pub pki: Pki,
    /// Ranges of ClusterIPs.
    pub service_cidr: Ranges,
    /// The addresses of it at which nodes answer for the cluster's names, if they do; at most one of each family.
    pub cluster_dns: Vec<IpAddr>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Users with static tokens.
    pub tokens: Tokens,
    /// Who vouches for other users.
    pub authentication: Authentication,
    /// Proxies that know users already.
    pub front_proxies: Option<RequestHeaders>,
    /// How the tokens of ServiceAccounts are made.
    pub account_tokens: AccountTokens,
    /// Who may do what.
    pub authorization: Authorization,
    /// What is recorded of requests; nothing without it.
    pub audit: Option<AuditConfig>,
    /// What is sealed on disk besides Secrets, and with which keys.
    pub encryption: Option<EncryptionFile>,
    /// Which resources of beta versions are served.
    pub runtime_config: SwitchedOn,
    /// How the controllers go about their work.
    pub controllers: ControllerOptions,
    /// Which schedulers there are, and how they decide.
    pub scheduler: Configuration,
    /// Source of object uids.
    pub ids: Arc<dyn Fn() -> String + Send + Sync>,
    /// What this program was built from.
    pub build: Build,
    /// The node in this process, by name, and where its endpoint is reached instead of at the node's own address.
    pub node_endpoint: Option<(String, IpAddr)>,
}

/// How the controllers go about their work.
#[derive(Clone, Debug, Default)]
pub struct ControllerOptions {
    /// Leave all Services of type LoadBalancer to others.
    pub no_load_balancer: bool,
    /// How HorizontalPodAutoscalers are followed.
    pub autoscaling: Autoscaling,
    /// What nodes get their Pod addresses from; without it they come by them in other ways.
    pub node_ranges: Option<NodeRanges>,
    /// Whether this control plane itself says what nodes and Pods use (metrics.k8s.io).
    pub metrics: bool,
    /// Whether the Gateway API is installed, unless somebody else did.
    pub gateway_api: bool,
    /// How the one is elected that runs the controllers, and the one that schedules; without it, this process does both.
    pub leader_election: Option<LeaderElection>,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificates.
    #[error("cannot prepare the cluster's certificates")]
    Pki(#[from] PkiError),
    /// The store.
    #[error("cannot open the store")]
    Store(#[from] wherry_store::OpenError),
    /// The keys of Secrets.
    #[error("cannot use the keys of Secrets")]
    Secrets(#[from] SecretsError),
    /// The file that says what is sealed.
    #[error("cannot follow the encryption provider configuration file")]
    Follow(#[source] std::io::Error),
    /// The key of ServiceAccount tokens.
    #[error("cannot use the key of ServiceAccount tokens")]
    TokenKey(#[from] wherry_apiserver::KeyError),
    /// The first objects.
    #[error("cannot create the objects every cluster begins with")]
    Bootstrap(#[source] kube::Error),
    /// The service range holds no address for the `kubernetes` Service.
    #[error("service CIDR {0} holds no usable address; use at least a /30")]
    ServiceCidr(IpNet),
}

/// A running control plane.
pub struct ControlPlane {
    address: SocketAddr,
    api: ApiServer,
    /// Where the requests of clients in this process are answered.
    runtime: Handle,
    store: Store,
    certificates: Arc<Certificates>,
    loops: TaskTracker,
    stop_loops: CancellationToken,
    serving: TaskTracker,
    stop_serving: CancellationToken,
    /// What the scheduler counts.
    scheduling: Arc<wherry_scheduler::Metrics>,
    /// Which resources of beta versions are served.
    switched_on: SwitchedOn,
    /// What says how much nodes and Pods use.
    usage: UsageMetrics,
}

impl ControlPlane {
    /// Starts everything; returns when the API answers and the bootstrap objects exist.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (clock, scheduler) = (config.clock.clone(), config.scheduler.clone());
        let (controllers, cluster_dns) = (config.controllers.clone(), config.cluster_dns.clone());
        let election = controllers.leader_election;
        let identity = format!("{}_{}", host_name(), (config.ids)());
        let role = |role| Role { name: role, identity: identity.clone(), clock: clock.clone(), election };
        let mint = config.account_tokens.minter(&config.pki.service_account_key)?;
        let plane = Box::pin(Self::start_with(config, Admission::Basic)).await?;
        let client = plane.client("system:apiserver", "kube-apiserver");
        bootstrap::runtime_classes(&client).await.map_err(StartError::Bootstrap)?;
        bootstrap::local_path_class(&client).await.map_err(StartError::Bootstrap)?;
        bootstrap::network_policies(&client).await.map_err(StartError::Bootstrap)?;
        bootstrap::node_bindings(&client).await.map_err(StartError::Bootstrap)?;
        usage::bootstrap(&client, controllers.metrics).await.map_err(StartError::Bootstrap)?;
        bootstrap::ingress(&client).await.map_err(StartError::Bootstrap)?;
        if !cluster_dns.is_empty() {
            bootstrap::dns_service(&client, &cluster_dns).await;
        }
        let ca = plane.certificates.ca();
        let known = ca.borrow().clone();
        bootstrap::authentication(&client, &known).await.map_err(StartError::Bootstrap)?;
        let stop = plane.stop_loops.clone();
        plane.loops.spawn(async move { stop.run_until_cancelled(bootstrap::follow_ca(&client, ca)).await });
        if controllers.gateway_api {
            let client = plane.client("system:apiserver", "kube-apiserver");
            let (install, stop) = (gateway_api::install(client), plane.stop_loops.clone());
            plane.loops.spawn(async move { stop.run_until_cancelled(install).await });
        }
        plane.spawn_controllers(role("kube-controller-manager"), mint, controllers);
        plane.spawn_scheduler(role("kube-scheduler"), scheduler);
        Ok(plane)
    }

    /// Starts the API server alone: no controllers, no scheduler.
    pub async fn start_api(config: Config) -> Result<Self, StartError> {
        Box::pin(Self::start_with(config, Admission::Full)).await
    }

    async fn start_with(config: Config, admission: Admission) -> Result<Self, StartError> {
        let primary = config.service_cidr.primary();
        let cluster_ip = numbered(primary, 1).ok_or(StartError::ServiceCidr(primary))?;
        let file = config.encryption.as_ref();
        let path = file.map(|file| file.path.as_path());
        let (store, encryption) = open_store(&config.data_dir, path, &config.clock)?;
        let certificates = Arc::new(Certificates::new(config.pki.clone()));
        let mut api = api_config(&config, &certificates, store.clone())?;
        let scheduling = Arc::<wherry_scheduler::Metrics>::default();
        let usage = UsageMetrics::default();
        if admission == Admission::Basic {
            let scheduling = scheduling.clone();
            api.more_metrics = Some(Arc::new(move || scheduling.render()));
            api.hosted.extend(config.controllers.metrics.then(|| usage.version()));
        }
        let api = ApiServer::new(wherry_apiserver::Config {
            admission,
            type_checking: admission == Admission::Basic,
            ..api
        });
        let plane = Self {
            address: config.address,
            api,
            runtime: Handle::current(),
            store,
            certificates,
            loops: TaskTracker::new(),
            stop_loops: CancellationToken::new(),
            serving: TaskTracker::new(),
            stop_serving: CancellationToken::new(),
            scheduling,
            switched_on: config.runtime_config.clone(),
            usage,
        };
        if config.controllers.metrics {
            let client = plane.client_as(usage::user(), "metrics-server");
            plane.usage.serve(MetricsServer::new(client, config.clock.clone()));
        }
        if let Some(file) = config.encryption.filter(|file| file.reload) {
            let follow = encryption::follow(file.path, encryption, plane.stop_serving.clone());
            plane.serving.spawn(follow.map_err(StartError::Follow)?);
        }
        plane.serve(config.listeners);
        plane.keep_certificates(config.clock.clone());
        let service_cidr = config.service_cidr;
        let (port, advertised) = (config.address.port(), config.advertised);
        let api_address = ApiAddress { cluster_ip, service_cidr, port, advertised };
        let client = plane.client("system:apiserver", "kube-apiserver");
        bootstrap::run(&client, api_address, config.clock.now()).await.map_err(StartError::Bootstrap)?;
        optional_apis::settle(&client, &config.runtime_config).await.map_err(StartError::Bootstrap)?;
        bootstrap::token_tracking(&client, config.clock.now()).await.map_err(StartError::Bootstrap)?;
        Ok(plane)
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that calls the API in process, as this user of `system:masters`. Fields it writes are owned by `agent`.
    pub fn client(&self, user: &str, agent: &'static str) -> Client {
        self.client_as(UserInfo::new(user, &["system:masters", "system:authenticated"]), agent)
    }

    /// The same, as a user who may do what others let them.
    pub fn client_as(&self, user: UserInfo, agent: &'static str) -> Client {
        let agent = HeaderValue::from_static(agent);
        let (router, runtime) = (self.api.router_as(user), self.runtime.clone());
        let service = service_fn(move |mut request: Request<kube::client::Body>| {
            request.headers_mut().insert(USER_AGENT, agent.clone());
            // Nobody in this process reads managed fields.
            request.headers_mut().entry(ACCEPT).or_insert(LEAN);
            // A task each: whoever awaits many answers at once has them worked out by all processors.
            AbortOnDropHandle::new(runtime.spawn(router.clone().oneshot(request)))
                .map(|answer| answer.map(|Ok(answer)| answer))
        });
        Client::new(service, "default")
    }

    /// The certificates of the cluster, which are renewed while it runs.
    pub fn certificates(&self) -> CertificatesInUse {
        self.certificates.current()
    }

    /// Stops everything in order; what was acknowledged is on disk when this returns.
    pub async fn shutdown(self) {
        self.stop_loops.cancel();
        self.loops.close();
        self.loops.wait().await;
        self.stop_serving.cancel();
        self.serving.close();
        self.serving.wait().await;
        drop((self.usage, self.api));
        self.store.close().await;
    }

    fn serve(&self, listeners: Vec<TcpListener>) {
        let api = self.api.clone();
        self.serving.spawn(async move { api.keep().await });
        for listener in listeners {
            let (api, stop) = (self.api.clone(), self.stop_serving.clone());
            let tls = self.certificates.serving();
            self.serving.spawn(async move {
                if let Err(error) = api.serve(listener, tls, stop).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the API server ended");
                }
            });
        }
    }

    fn keep_certificates(&self, clock: Arc<dyn Clock>) {
        self.serving.spawn(rotation::run(self.certificates.clone(), clock, self.stop_serving.clone()));
    }

    fn spawn_controllers(&self, role: Role, mint: TokenMinter, options: ControllerOptions) {
        let client = self.client("system:kube-controller-manager", "kube-controller-manager");
        let mut config = wherry_controllers::Config::new(role.clock.clone());
        config.root_ca = Some(self.certificates.ca());
        config.authority = Some(Arc::new(RequestSigner::new(self.certificates.current())));
        config.token_minter = Some(mint);
        config.autoscaling = options.autoscaling;
        config.node_ranges = options.node_ranges;
        config.load_balancer = !options.no_load_balancer;
        config.switched_on = self.switched_on.clone();
        self.spawn_role(role, client.clone(), move |stop| {
            let (client, config) = (client.clone(), config.clone());
            async move {
                if let Err(error) = wherry_controllers::run(client, config, stop).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "controllers ended");
                }
            }
        });
    }

    fn spawn_scheduler(&self, role: Role, scheduler: Configuration) {
        let client = self.client("system:kube-scheduler", "kube-scheduler");
        let mut config = wherry_scheduler::Config::new(role.clock.clone());
        config.host = host_name();
        config.configuration = scheduler;
        config.metrics = self.scheduling.clone();
        self.spawn_role(role, client.clone(), move |stop| {
            let (client, config) = (client.clone(), config.clone());
            async move {
                if let Err(error) = wherry_scheduler::run(client, config, stop).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "scheduler ended");
                }
            }
        });
    }

    /// Runs the loops of a role, while this process leads if that is to be settled.
    fn spawn_role<F>(
        &self,
        role: Role,
        client: Client,
        loops: impl Fn(CancellationToken) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop_loops.clone();
        let Role { name: role, identity, clock, election } = role;
        let Some(timing) = election else {
            self.loops.spawn(loops(stop));
            return;
        };
        self.loops.spawn(Candidate { client, clock, role, identity, timing }.run(stop, loops));
    }
}

/// What only one of several control planes does at a time.
struct Role {
    /// Its name, and that of its Lease.
    name: &'static str,
    identity: String,
    clock: Arc<dyn Clock>,
    election: Option<LeaderElection>,
}

/// The name of this machine.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Opens the store of a cluster, in which Secrets are sealed with the keys beside its certificates, or as a configuration
/// says.
pub(crate) fn open_store(
    data_dir: &Path,
    config: Option<&Path>,
    clock: &Arc<dyn Clock>,
) -> Result<(Store, Arc<Encryption>), StartError> {
    let clock = clock.clone();
    let now = Arc::new(move || u64::try_from(clock.now().as_millisecond()).unwrap_or_default());
    let encryption = Arc::new(secrets::encryption(&data_dir.join("pki"), config)?);
    let mut options = wherry_store::Options::new(wherry_apiserver::extractor(), now);
    options.seal = Some(Arc::clone(&encryption) as Arc<dyn Seal>);
    Ok((Store::open(&data_dir.join("store.redb"), options)?, encryption))
}

fn api_config(
    config: &Config,
    certificates: &Certificates,
    store: Store,
) -> Result<wherry_apiserver::Config, StartError> {
    let found = config.advertised.unwrap_or(config.address);
    let mut api =
        wherry_apiserver::Config::new(store, config.clock.clone(), config.ids.clone(), config.service_cidr);
    api.build = config.build;
    api.runtime_config = config.runtime_config.clone();
    api.node_address.clone_from(&config.node_endpoint);
    api.tokens = config.tokens.clone();
    api.address = Some(config.address);
    api.authorization = config.authorization.clone();
    api.audit.clone_from(&config.audit);
    api.authentication = config.authentication.clone();
    api.front_proxies.clone_from(&config.front_proxies);
    api.issuer = Some(config.account_tokens.issuer(&config.pki.service_account_key, found)?);
    api.node_client = Some(certificates.node_client());
    api.front_proxy = Some(certificates.front_proxy());
    Ok(api)
}
