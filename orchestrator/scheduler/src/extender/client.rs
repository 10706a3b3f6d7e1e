//! One extender, asked over HTTP.

use std::collections::{BTreeMap, HashSet};
use std::error::Error as StdError;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::wire::{
    Args, BindingArgs, BindingResult, FilterResult, HostPriority, MetaVictims, Nodes, PreemptionArgs,
    PreemptionResult, WholeVictims, read,
};
use super::{Settings, asks_for};

/// What a score of an extender is worth: its highest is 10, ours 100.
const SCALE: i64 = 10;

/// Why an extender can never be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its URL or its certificates are wrong.
    #[error("extender {url:?} is configured wrongly")]
    Settings {
        /// The `urlPrefix`.
        url: String,
        /// What is wrong.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// No connections can be made with its certificates.
    #[error("extender {url:?} cannot be connected to")]
    Client {
        /// The `urlPrefix`.
        url: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Why an extender gave no answer that is one, as the user reads it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtenderError {
    #[error("Post {url:?}: {reason}")]
    NoAnswer { url: String, reason: String },
    #[error("failed {verb} with extender at URL {url}, code {code}")]
    Status { verb: String, url: String, code: u16 },
    #[error("{0}")]
    Unreadable(String),
    #[error("{0}")]
    Said(String),
    #[error("extender {url:?} claims a filtered node {node:?} which is not found in the input node list")]
    UnknownNode { url: String, node: String },
}

/// Nodes that an extender is asked about; the objects only if it is told them.
#[derive(Clone, Copy)]
pub(crate) struct Offered<'n> {
    pub(crate) names: &'n [String],
    pub(crate) objects: &'n [Arc<Node>],
}

/// What an extender says of nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filtered {
    /// Those that fit.
    pub(crate) fit: Vec<String>,
    /// Why others do not, and whether nobody's end could change it.
    pub(crate) refused: Vec<(String, String, bool)>,
}

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Extender {
    settings: Arc<Settings>,
    client: Client,
}

impl Extender {
    pub(super) async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let url = settings.url.clone();
        let source = |source| ConnectError::Settings { url: url.clone(), source: Box::new(source) };
        let mut config = Config::from_custom_kubeconfig(access(&settings), &KubeConfigOptions::default())
            .await
            .map_err(source)?;
        // No other authorities than those that are configured, and no second try of what may have happened.
        config.root_cert.get_or_insert_default();
        config.default_retry = false;
        let client = Client::try_from(config);
        let source = |source| ConnectError::Client { url: url.clone(), source: Box::new(source) };
        Ok(Self { client: client.map_err(source)?, settings: Arc::new(settings) })
    }

    /// Whether nodes have to be sent whole.
    pub(super) fn is_told_nodes(&self) -> bool {
        let verbs = &self.settings.verbs;
        !self.settings.knows_nodes && (verbs.filter.is_some() || verbs.prioritize.is_some())
    }

    /// Whether it has a say in where Pods go.
    pub(super) fn decides(&self) -> bool {
        let verbs = &self.settings.verbs;
        verbs.filter.is_some() || verbs.prioritize.is_some() || verbs.preempt.is_some()
    }

    /// Whether it binds.
    pub(super) fn binds(&self) -> bool {
        self.settings.verbs.bind.is_some()
    }

    /// Whether it has a say in whose end is right.
    pub(crate) fn preempts(&self) -> bool {
        self.settings.verbs.preempt.is_some()
    }

    /// Whether Pods are scheduled without it when it fails.
    pub(crate) fn is_ignorable(&self) -> bool {
        self.settings.is_ignorable
    }

    /// Whether it has to be told Pods whole.
    pub(crate) fn is_told_pods(&self) -> bool {
        !self.settings.knows_nodes
    }

    /// The beginning of its URLs, which is its name.
    pub(crate) fn url(&self) -> &str {
        &self.settings.url
    }

    pub(super) fn is_interested(&self, pod: &Pod) -> bool {
        let managed = &self.settings.managed;
        managed.is_empty() || asks_for(pod, |name| managed.iter().any(|managed| managed == name))
    }

    /// Which of these nodes fit; all of them if it is not to say.
    pub(crate) async fn filter(&self, pod: &Pod, offered: Offered<'_>) -> Result<Filtered, ExtenderError> {
        let Some(verb) = &self.settings.verbs.filter else {
            return Ok(Filtered { fit: offered.names.to_vec(), refused: Vec::new() });
        };
        let result: FilterResult = self.send(verb, &self.args(pod, offered)).await?;
        if let Some(error) = result.error.filter(|error| !error.is_empty()) {
            return Err(ExtenderError::Said(error));
        }
        let listed = || {
            let items = result.nodes.and_then(|nodes| nodes.items).unwrap_or_default();
            items.into_iter().map(|item| item.metadata.name).collect()
        };
        let names = result.node_names.filter(|_| self.settings.knows_nodes);
        let fit: Vec<String> = names.unwrap_or_else(listed);
        let known: HashSet<_> = offered.names.iter().collect();
        if let Some(node) = fit.iter().find(|name| !known.contains(name)) {
            return Err(ExtenderError::UnknownNode { url: self.settings.url.clone(), node: node.clone() });
        }
        let for_good = result.failed_for_good.unwrap_or_default();
        let failed = result.failed.unwrap_or_default().into_iter();
        let for_now = failed.filter(|(name, _)| !for_good.contains_key(name)).collect::<Vec<_>>();
        let refused = for_good.iter().map(|(name, why)| (name.clone(), why.clone(), true));
        let refused = refused.chain(for_now.into_iter().map(|(name, why)| (name, why, false))).collect();
        Ok(Filtered { fit, refused })
    }

    /// How good nodes are, as much as it counts beside the plugins.
    pub(crate) async fn prioritize(
        &self,
        pod: &Pod,
        offered: Offered<'_>,
    ) -> Result<Vec<(String, i64)>, ExtenderError> {
        let Some(verb) = &self.settings.verbs.prioritize else { return Ok(Vec::new()) };
        let result: Option<Vec<HostPriority>> = self.send(verb, &self.args(pod, offered)).await?;
        let weight = self.settings.weight.saturating_mul(SCALE);
        let score = |host: HostPriority| (host.host, host.score.saturating_mul(weight));
        Ok(result.unwrap_or_default().into_iter().map(score).collect())
    }

    /// Which of these Pods should end on which node.
    pub(crate) async fn preempt(
        &self,
        pod: &Pod,
        by_uid: &BTreeMap<String, MetaVictims>,
        whole: Option<&BTreeMap<String, WholeVictims>>,
    ) -> Result<BTreeMap<String, MetaVictims>, ExtenderError> {
        let verb = self.settings.verbs.preempt.as_deref().unwrap_or_default();
        let names = whole.is_none().then_some(by_uid);
        let args = PreemptionArgs { pod, node_name_to_victims: whole, node_name_to_meta_victims: names };
        let result: PreemptionResult = self.send(verb, &args).await?;
        let victims = result.victims.unwrap_or_default().into_iter();
        Ok(victims.map(|(node, victims)| (node, victims.unwrap_or_default())).collect())
    }

    /// Has a Pod bound.
    pub(crate) async fn bind(
        &self,
        (namespace, name, uid): (&str, &str, &str),
        node: &str,
    ) -> Result<(), ExtenderError> {
        let verb = self.settings.verbs.bind.as_deref().unwrap_or_default();
        let args = BindingArgs { pod_name: name, pod_namespace: namespace, pod_uid: uid, node };
        let result: BindingResult = self.send(verb, &args).await?;
        match result.error.filter(|error| !error.is_empty()) {
            Some(error) => Err(ExtenderError::Said(error)),
            None => Ok(()),
        }
    }

    fn args<'a>(&self, pod: &'a Pod, offered: Offered<'a>) -> Args<'a> {
        let knows = self.settings.knows_nodes;
        let nodes = Nodes { metadata: ListMeta::default(), items: offered.objects };
        Args { pod, nodes: (!knows).then_some(nodes), node_names: knows.then_some(offered.names) }
    }

    async fn send<T: DeserializeOwned>(&self, verb: &str, args: &impl Serialize) -> Result<T, ExtenderError> {
        let url = format!("{}/{verb}", self.settings.url.trim_end_matches('/'));
        let no_answer = |reason: String| ExtenderError::NoAnswer { url: url.clone(), reason };
        let body = serde_json::to_vec(args).map_err(|error| ExtenderError::Unreadable(error.to_string()))?;
        let request = Request::post(format!("/{verb}")).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).map_err(|error| no_answer(error.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            Ok::<_, kube::Error>((status, response.into_body().collect_bytes().await?))
        };
        let late = |_| no_answer("context deadline exceeded".to_owned());
        let answer = tokio::time::timeout(self.settings.timeout, answer).await.map_err(late)?;
        let (status, body) = answer.map_err(|error| no_answer(chain(&error)))?;
        if status != StatusCode::OK {
            return Err(ExtenderError::Status { verb: verb.to_owned(), url, code: status.as_u16() });
        }
        read(&body).map_err(|error| ExtenderError::Unreadable(error.to_string()))
    }
}

/// An error with all its causes: the user reads it far from here.
fn chain(error: &dyn StdError) -> String {
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

/// Where it is and what it is told of us, as a kubeconfig says it.
fn access(settings: &Settings) -> Kubeconfig {
    let tls = &settings.tls;
    let cluster = json!({
        "server": settings.url,
        "insecure-skip-tls-verify": tls.insecure,
        "tls-server-name": tls.server_name,
        "certificate-authority": tls.ca_file,
        "certificate-authority-data": tls.ca_data,
    });
    let user = json!({
        "client-certificate": tls.cert_file,
        "client-certificate-data": tls.cert_data,
        "client-key": tls.key_file,
        "client-key-data": tls.key_data,
    });
    let name = "extender";
    let config = json!({
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    serde_json::from_value(config).unwrap_or_default()
}
