//! What an API server is made with.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use wherry_api::clock::Clock;
use wherry_api::kinds::SwitchedOn;
use wherry_api::ranges::Ranges;
use wherry_store::Store;

use crate::audit::AuditConfig;
use crate::authentication::Authentication;
use crate::authorize::AuthorizationConfiguration;
use crate::request_headers::RequestHeaders;
use crate::rotating::Rotating;
use crate::service_accounts::TokenIssuer;
use crate::tokens::Tokens;

/// Makes unique ids: UIDs of objects and the random part of generated names.
pub type Ids = Arc<dyn Fn() -> String + Send + Sync>;

/// Metrics of another part of the process, as a page in Prometheus' text format.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers requests that are allowed; they have no bodies, as all they do is read.
pub type Answerer = Arc<dyn Fn(Request<()>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// A version of a group that another part of the process serves.
#[derive(Clone)]
pub struct HostedVersion {
    /// The group.
    pub group: &'static str,
    /// The version of it.
    pub version: &'static str,
    /// `groupPriorityMinimum` and `versionPriority` of its APIService.
    pub priorities: (i64, i64),
    /// Who answers.
    pub answer: Answerer,
}

/// What an API server is made with.
#[derive(Clone)]
pub struct Config {
    /// Where objects live; opened with [`crate::extractor`].
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unique ids, in the form of UUIDs.
    pub ids: Ids,
    /// Where Services get their addresses from.
    pub service_cidr: Ranges,
    /// Where Services get their node ports from; 30000-32767 by custom.
    pub node_port_range: RangeInclusive<u16>,
    /// How this server shows itself to nodes when it fetches logs; without it there are none.
    pub node_client: Option<Rotating<NodeClientTls>>,
    /// How this server shows itself to those that serve groups in its place; without it nobody does.
    pub front_proxy: Option<Rotating<NodeClientTls>>,
    /// The node in this process, by name, and where it is reached instead of at its InternalIP: it listens on loopback.
    pub node_address: Option<(String, IpAddr)>,
    /// Users who present a static bearer token.
    pub tokens: Tokens,
    /// Who vouches for users besides this server.
    pub authentication: Authentication,
    /// Proxies that know users already and say who they are; without it there are none.
    pub front_proxies: Option<RequestHeaders>,
    /// Who makes the tokens of ServiceAccounts; without one there are none.
    pub issuer: Option<TokenIssuer>,
    /// Who may do what.
    pub authorization: Authorization,
    /// What is recorded of requests; nothing without it.
    pub audit: Option<AuditConfig>,
    /// What `/metrics` tells besides what this server counts.
    pub more_metrics: Option<MetricsPage>,
    /// What other parts of the process serve, where no APIService names a server for it.
    pub hosted: Vec<HostedVersion>,
    /// What this program was built from.
    pub build: Build,
    /// Which resources are served that are not by themselves: those of beta versions.
    pub runtime_config: SwitchedOn,
    /// The address that discovery tells clients.
    pub address: Option<SocketAddr>,
    /// How many requests all priority levels together answer at once; 600 by custom.
    pub concurrency: u32,
    /// What is filled in across objects.
    pub admission: Admission,
    /// Whether the server itself tells by their status what is wrong with the types in policies; where Kubernetes'
    /// controllers run they do.
    pub type_checking: bool,
    /// The largest request body; 3 MiB by custom.
    pub max_body_bytes: usize,
    /// Seconds between the bookmarks of an idle watch. Clients give a silent watch up after about 295.
    pub bookmark_seconds: u64,
}

/// What a program was built from, as `/version` tells it; empty where that is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Build {
    /// The commit, as git names it.
    pub commit: &'static str,
    /// When it was committed, as RFC 3339 writes it.
    pub date: &'static str,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// Members of `system:masters` may do everything, others what roles and bindings allow.
    Rbac,
    /// The same, and nodes may do what they need to, with what is theirs.
    NodeRbac,
    /// Everybody who is known may do everything.
    AlwaysAllow,
    /// What those say who are asked, one after the other.
    Configured(AuthorizationConfiguration),
}

impl Authorization {
    /// Who is asked.
    pub(crate) fn into_configuration(self) -> AuthorizationConfiguration {
        match self {
            Self::Rbac => AuthorizationConfiguration::plain(&["RBAC"]),
            Self::NodeRbac => AuthorizationConfiguration::plain(&["Node", "RBAC"]),
            Self::AlwaysAllow => AuthorizationConfiguration::plain(&["AlwaysAllow"]),
            Self::Configured(configuration) => configuration,
        }
    }
}

/// What the server fills in across objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// What the parts of a Wherry cluster understand.
    Basic,
    /// What Kubernetes' own server does, too: nodes get a taint until they are ready, and the volume with a Pod's token
    /// the certificates of a second authority.
    Full,
}

impl Config {
    /// A configuration with customary limits.
    pub fn new(store: Store, clock: Arc<dyn Clock>, ids: Ids, service_cidr: Ranges) -> Self {
        Self {
            store,
            clock,
            ids,
            service_cidr,
            node_port_range: 30_000..=32_767,
            node_client: None,
            front_proxy: None,
            node_address: None,
            tokens: Tokens::default(),
            authentication: Authentication::default(),
            front_proxies: None,
            issuer: None,
            authorization: Authorization::NodeRbac,
            admission: Admission::Basic,
            type_checking: false,
            audit: None,
            more_metrics: None,
            hosted: Vec::new(),
            build: Build::default(),
            runtime_config: SwitchedOn::default(),
            address: None,
            concurrency: 600,
            max_body_bytes: 3 * 1024 * 1024,
            bookmark_seconds: 45,
        }
    }
}

/// The certificates for talking to nodes, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClientTls {
    /// Who signed the nodes' certificates.
    pub ca: Vec<u8>,
    /// This server's client certificate.
    pub cert: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}
