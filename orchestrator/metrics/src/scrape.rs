//! What all nodes say that they and their containers have used.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::exposition::{NoSample, Sample, samples};

/// How many nodes are asked at once.
const AT_ONCE: usize = 16;
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What something has used up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    /// When this was so.
    pub(crate) at: Timestamp,
    /// Since when it runs; unknown of nodes.
    pub(crate) started: Option<Timestamp>,
    /// Seconds of a processor, since it started.
    pub(crate) cpu: Option<f64>,
    /// Bytes of memory in use.
    pub(crate) memory: Option<f64>,
}

/// Namespace and name of a Pod.
pub(crate) type PodKey = (String, String);

/// What all nodes said at once.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scrape {
    pub(crate) nodes: HashMap<String, Point>,
    /// By Pod, then by container.
    pub(crate) pods: HashMap<PodKey, BTreeMap<String, Point>>,
}

/// A node that did not say what it uses.
#[derive(Debug, thiserror::Error)]
enum NodeError {
    #[error("the node's endpoint cannot be asked")]
    Ask(#[from] kube::Error),
    #[error("the node did not answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the node's answer cannot be read")]
    Read(#[from] NoSample),
}

/// Asks all nodes; those that do not answer are left out. Without the list of nodes there is nothing.
pub(crate) async fn take(client: &Client, now: Timestamp) -> Result<Scrape, kube::Error> {
    let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await?;
    let names: Vec<String> = nodes.items.into_iter().map(|node| node.name_any()).collect();
    let mut answers = stream::iter(names.into_iter().map(|name| async { (ask(client, &name).await, name) }))
        .buffer_unordered(AT_ONCE);
    let mut scrape = Scrape::default();
    while let Some((answer, node)) = answers.next().await {
        if let Err(error) = answer.and_then(|page| Ok(scrape.add(&node, &page, now)?)) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(node, error, "nothing is known of what a node uses");
        }
    }
    Ok(scrape)
}

async fn ask(client: &Client, node: &str) -> Result<String, NodeError> {
    let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let answered = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
    Ok(answered.map_err(|_| NodeError::Late)??)
}

impl Scrape {
    /// Adds the page of a node; what says no time of its own was so `now`. A page that cannot be read adds nothing.
    fn add(&mut self, node: &str, page: &str, now: Timestamp) -> Result<(), NoSample> {
        for sample in samples(page).collect::<Result<Vec<_>, _>>()? {
            let Some((whose, figure)) = sample.name.split_once('_') else { continue };
            let point = match whose {
                "node" => self.nodes.entry(node.to_owned()).or_default(),
                "container" => match key(&sample) {
                    Some((pod, container)) => self.pods.entry(pod).or_default().entry(container).or_default(),
                    None => continue,
                },
                _ => continue,
            };
            match figure {
                "cpu_usage_seconds_total" => {
                    point.cpu = Some(sample.value);
                    point.at = sample.at.unwrap_or(now);
                }
                "memory_working_set_bytes" => point.memory = Some(sample.value),
                "start_time_seconds" => point.started = time(sample.value),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The Pod and the container that a sample is about.
fn key(sample: &Sample<'_>) -> Option<(PodKey, String)> {
    let label = |name| sample.label(name).map(str::to_owned);
    Some(((label("namespace")?, label("pod")?), label("container")?))
}

/// Seconds since 1970, with a fraction.
fn time(seconds: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_page_tells_of_the_node_and_its_containers() {
        let page = "\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 0.5 5000
container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 4096 5000
container_start_time_seconds{container=\"c\",namespace=\"ns\",pod=\"p\"} 2.5
container_memory_working_set_bytes{namespace=\"ns\",pod=\"p\"} 1 5000
node_cpu_usage_seconds_total 7
node_memory_working_set_bytes 8192 5000
pod_cpu_usage_seconds_total{namespace=\"ns\",pod=\"p\"} 0.5 5000
resource_scrape_error 0
";
        let now = Timestamp::from_second(6).unwrap();
        let mut scrape = Scrape::default();
        scrape.add("n", page, now).unwrap();
        let node = Point { at: now, started: None, cpu: Some(7.0), memory: Some(8192.0) };
        let started = Timestamp::from_millisecond(2500).ok();
        let at = Timestamp::from_second(5).unwrap();
        let container = Point { at, started, cpu: Some(0.5), memory: Some(4096.0) };
        let containers = BTreeMap::from([("c".to_owned(), container)]);
        let expected = Scrape {
            nodes: HashMap::from([("n".to_owned(), node)]),
            pods: HashMap::from([(("ns".to_owned(), "p".to_owned()), containers)]),
        };
        assert_eq!(scrape, expected);
        assert!(scrape.add("n", "node_cpu_usage_seconds_total 9\nnothing", now).is_err());
        assert_eq!(scrape, expected);
    }
}
