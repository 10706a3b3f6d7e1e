//! Answers requests.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wherry_api::clock::Clock;

use crate::objects::{self, Figures};
use crate::request::{NoQuestion, Question, Selectors, Target};
use crate::sampler::Sampler;
use crate::table::table;
use crate::usage::Scrapes;

/// The group that is served.
pub const GROUP: &str = "metrics.k8s.io";
/// The version of it.
pub const VERSION: &str = "v1beta1";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers what is asked of `metrics.k8s.io/v1beta1`. Who asks, and whether they may, was decided before.
pub struct MetricsServer {
    client: Client,
    clock: Arc<dyn Clock>,
    sampler: Sampler,
}

/// Why there is no answer.
enum Refusal {
    NoQuestion(NoQuestion),
    /// There is no such node or Pod, or nothing is known of it.
    Unknown {
        kind: &'static str,
        name: String,
    },
    /// What the API said.
    Api(kube::Error),
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl MetricsServer {
    /// A server that asks in the name of this client's user, who has to read Nodes and Pods and to reach `nodes/proxy`.
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        let sampler = Sampler::new(client.clone(), Arc::clone(&clock));
        Self { client, clock, sampler }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<()>) -> Response<Bytes> {
        let (code, body) = match self.respond(&request).await {
            Ok(body) => (StatusCode::OK, body),
            Err(refusal) => refusal.told(request.uri().path()),
        };
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = code;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }

    async fn respond(&self, request: &Request<()>) -> Result<Value, Refusal> {
        let Question { target, table: rows } = Question::of(request).map_err(Refusal::NoQuestion)?;
        let (kind, wanted, found) = match target {
            Target::Resources => return Ok(objects::resources()),
            Target::Node(name) => ("NodeMetrics", Some(name.clone()), self.nodes(named(&name)).await?),
            Target::Nodes(selectors) => ("NodeMetrics", None, self.nodes(selectors).await?),
            Target::Pod(namespace, name) => {
                let found = self.pods(Some(&namespace), named(&name)).await?;
                ("PodMetrics", Some(format!("{namespace}/{name}")), found)
            }
            Target::Pods(namespace, selectors) => {
                ("PodMetrics", None, self.pods(namespace.as_deref(), selectors).await?)
            }
        };
        let now = objects::seconds(self.clock.now());
        match (wanted, found.as_slice()) {
            (Some(name), []) => Err(Refusal::Unknown { kind, name }),
            (_, all) if rows => Ok(table(all, &now)),
            (Some(_), [only, ..]) => Ok(only.object(&now)),
            (None, all) => {
                let items: Vec<Value> = all.iter().map(|figures| figures.object(&now)).collect();
                Ok(objects::list(kind, &items))
            }
        }
    }

    async fn nodes(&self, selectors: Selectors) -> Result<Vec<Figures>, kube::Error> {
        let nodes = Api::<Node>::all(self.client.clone());
        self.figures(nodes, &selectors.params(), |scrapes, node| {
            let usage = scrapes.node(&node.name_any())?;
            Figures::new(node.metadata, vec![(String::new(), usage)])
        })
        .await
    }

    async fn pods(&self, namespace: Option<&str>, selectors: Selectors) -> Result<Vec<Figures>, kube::Error> {
        let client = self.client.clone();
        let pods = match namespace {
            Some(namespace) => Api::<Pod>::namespaced(client, namespace),
            None => Api::all(client),
        };
        self.figures(pods, &selectors.params(), |scrapes, pod| {
            let key = (pod.namespace().unwrap_or_default(), pod.name_any());
            let parts = scrapes.pod(&key)?;
            let parts = parts.into_iter().map(|(name, usage)| (name.to_owned(), usage)).collect();
            Figures::new(pod.metadata, parts)
        })
        .await
    }

    /// What is known of the objects that are there.
    async fn figures<K>(
        &self,
        api: Api<K>,
        params: &ListParams,
        figures: impl Fn(&Scrapes, PartialObjectMeta<K>) -> Option<Figures>,
    ) -> Result<Vec<Figures>, kube::Error>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let scrapes = self.sampler.current().await?;
        let found = api.list_metadata(params).await?;
        Ok(found.items.into_iter().filter_map(|object| figures(&scrapes, object)).collect())
    }
}

fn named(name: &str) -> Selectors {
    Selectors { labels: None, fields: Some(format!("metadata.name={name}")) }
}

impl Refusal {
    fn told(self, path: &str) -> (StatusCode, Value) {
        let (code, reason, message) = match self {
            Self::NoQuestion(NoQuestion::NotFound) => {
                let message = format!("the server could not find the requested resource ({path})");
                (StatusCode::NOT_FOUND, "NotFound", message)
            }
            Self::NoQuestion(NoQuestion::MethodNotAllowed) => {
                let message = "what nodes and Pods use can be read with get and list alone".to_owned();
                (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            }
            Self::Unknown { kind, name } => {
                let message = format!("{}.{GROUP} {name:?} not found", kind.to_lowercase());
                (StatusCode::NOT_FOUND, "NotFound", message)
            }
            Self::Api(kube::Error::Api(status)) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return (code, objects::failure(code, &status.reason, &status.message));
            }
            Self::Api(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot ask the API for nodes and Pods"
                );
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", error.to_string())
            }
        };
        (code, objects::failure(code, reason, &message))
    }
}

#[cfg(test)]
mod tests;
