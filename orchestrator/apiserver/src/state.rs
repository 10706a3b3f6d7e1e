//! What all requests share.

use std::sync::{Arc, Weak};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;
use wherry_schema::Value;
use wherry_store::Store;

use crate::admission::dynamic::Dynamic;
use crate::admission::quota::ledger::Ledger;
use crate::aggregate::Aggregated;
use crate::allocate::Allocator;
use crate::audit::Audit;
use crate::authentication::Authentication;
use crate::authorize::Authorizer;
use crate::codec;
use crate::config::{Admission, Build, Config, Ids, MetricsPage, NodeClientTls};
use crate::custom::Registry;
use crate::discovery::Documents;
use crate::error::Failure;
use crate::flow::Flow;
use crate::metrics::Metrics;
use crate::node_client::NodeClient;
use crate::openapi::Protobuf;
use crate::proxy;
use crate::request_headers::RequestHeaders;
use crate::rotating::Derived;
use crate::service_accounts::TokenIssuer;
use crate::tokens::Tokens;
use crate::verbs::shared::SharedBodies;

/// What all requests share.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    ids: Ids,
    pub(crate) allocator: Allocator,
    pub(crate) documents: Documents,
    /// What definitions add to the API.
    pub(crate) custom: Registry,
    /// Who waits when too much is asked.
    pub(crate) flow: Flow,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) node_client: Option<NodeClient>,
    pub(crate) node_address: Option<(String, std::net::IpAddr)>,
    /// Talks TLS with the Pods that requests are passed on to.
    pub(crate) trusting: TlsConnector,
    pub(crate) tokens: Tokens,
    pub(crate) authentication: Authentication,
    pub(crate) front_proxies: Option<RequestHeaders>,
    pub(crate) issuer: Option<TokenIssuer>,
    /// Who decides what may be done.
    pub(crate) authorizer: Arc<Authorizer>,
    /// What records requests, if anything does.
    pub(crate) audit: Option<Arc<Audit>>,
    /// What `/metrics` tells besides what this server counts.
    pub(crate) more_metrics: Option<MetricsPage>,
    pub(crate) admission: Admission,
    /// What is being charged to quotas.
    pub(crate) quotas: Ledger,
    /// Whether the status of policies is kept.
    pub(crate) type_checking: bool,
    /// Groups that other servers serve.
    pub(crate) aggregated: Aggregated,
    pub(crate) openapi_protobuf: Protobuf,
    /// How this server shows itself to those it passes requests on to.
    pub(crate) identity: Option<Derived<NodeClientTls, Arc<NodeClientTls>>>,
    /// Who is configured to look at changes.
    pub(crate) dynamic: Dynamic,
    pub(crate) max_body_bytes: usize,
    /// Lists on their way to clients.
    pub(crate) lists: SharedBodies,
    pub(crate) bookmark_seconds: u64,
    /// What this program was built from.
    pub(crate) build: Build,
    /// Cancelled when the server stops; ends watches.
    pub(crate) stopping: CancellationToken,
    /// Connections to clients and nodes.
    pub(crate) tasks: TaskTracker,
}

/// The letters of generated names: no vowels, so that they make no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl State {
    /// Makes what all requests share, given where it will be.
    pub(crate) fn new(config: Config, this: &Weak<Self>) -> Self {
        let stopping = CancellationToken::new();
        Self {
            custom: Registry::new(&config.store, config.runtime_config, stopping.clone()),
            allocator: Allocator::new(&config.store, config.service_cidr, config.node_port_range),
            documents: Documents::build(config.address),
            flow: Flow::new(&config.store, config.concurrency),
            metrics: Arc::new(Metrics::new(config.clock.now())),
            node_client: config.node_client.map(|tls| NodeClient::new(tls, &config.clock)),
            node_address: config.node_address,
            trusting: proxy::trusting(),
            aggregated: Aggregated::new(&config.store, &config.hosted),
            openapi_protobuf: Protobuf::default(),
            identity: config.front_proxy.map(|tls| Derived::new(tls, |tls| Arc::new(tls.clone()))),
            dynamic: Dynamic::new(&config.store),
            authorizer: Arc::new(Authorizer::new(config.authorization, &config.store, Weak::clone(this))),
            audit: config.audit.map(|audit| Arc::new(Audit::new(audit, Arc::clone(&config.clock)))),
            more_metrics: config.more_metrics,
            store: config.store,
            clock: config.clock,
            ids: config.ids,
            tokens: config.tokens,
            authentication: config.authentication,
            front_proxies: config.front_proxies,
            issuer: config.issuer,
            admission: config.admission,
            quotas: Ledger::default(),
            type_checking: config.type_checking,
            max_body_bytes: config.max_body_bytes,
            lists: SharedBodies::default(),
            bookmark_seconds: config.bookmark_seconds,
            build: config.build,
            stopping,
            tasks: TaskTracker::new(),
        }
    }

    /// A new UID.
    pub(crate) fn new_uid(&self) -> String {
        (self.ids)()
    }

    /// A new name after a prefix.
    pub(crate) fn generate_name(&self, prefix: &str) -> String {
        let digest = Sha256::digest((self.ids)().as_bytes());
        let letters = digest.iter().take(5).map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]));
        let cut = prefix.len().min(58);
        prefix.chars().take(cut).chain(letters).collect()
    }

    /// One of so many, any of them; zero of none.
    pub(crate) fn pick(&self, count: usize) -> usize {
        let digest = Sha256::digest((self.ids)().as_bytes());
        let number = digest.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte));
        number.checked_rem(count).unwrap_or_default()
    }

    /// The time as objects carry it.
    pub(crate) fn timestamp(&self) -> String {
        seconds(self.clock.now())
    }

    /// A stored object, if it is there.
    pub(crate) fn find(&self, key: &str) -> Result<Option<Value>, Failure> {
        self.store.get(key).map(|entry| codec::decode(key, &entry.value)).transpose()
    }
}

/// A time in whole seconds, as objects carry it.
pub(crate) fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).map_or_else(|_| time.to_string(), |t| t.to_string())
}
