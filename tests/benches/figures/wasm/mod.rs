//! Figures of the wasm runtime in a whole cluster.
//!
//! How much is done can be made less for a quick look by variables of the environment, which the parts name.

mod density;
mod http;
mod isolation;
mod rolling;
mod stages;
mod start;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wherry_tests::{Cluster, Options};

use super::api_load::{Client, PODS, Watched, is_deleted};
use super::{Bench, clock};

/// The parts by their names.
pub(crate) const BENCHES: [(&str, Bench); 6] = [
    ("http", http::figures),
    ("start", start::figures),
    ("stages", stages::figures),
    ("density", density::figures),
    ("isolation", isolation::figures),
    ("rolling", rolling::figures),
];

pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A cluster whose node takes so many Pods.
fn roomy(dir: &Path, pods: usize) -> Cluster {
    let most = format!("--max-pods={pods}");
    let flags = [&most, "--cluster-cidr=10.240.0.0/12", "--node-cidr-mask-size=16"];
    let flags = flags.map(str::to_owned).to_vec();
    Cluster::start(dir, Options { flags, ..Options::hasty() })
}

/// A container that serves.
pub(crate) fn serving(image: &str) -> Value {
    json!({ "name": "main", "image": format!("127.0.0.1:5000/{image}:v1"), "ports": [{ "containerPort": 8080 }] })
}

/// A Pod whose label `app` is its name.
pub(crate) fn pod(name: &str, container: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": [container] },
    })
}

/// A Service of the Pods with this label `app`.
pub(crate) fn service(app: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": app },
        "spec": { "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
    .to_string()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// What drives a cluster.
pub(crate) struct Driver<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) runtime: Runtime,
    pub(crate) client: Client,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(Client::connect(&cluster.kubeconfig()));
        Self { cluster, runtime, client }
    }

    /// Makes Pods and waits until they are all seen to be such.
    pub(crate) fn pods(&mut self, pods: &[String], such: impl Fn(&Value) -> bool) -> Duration {
        self.runtime.block_on(async {
            let mut watched = self.client.watch(PODS).await;
            let start = clock();
            // A watch that nobody reads is cut off.
            futures::join!(self.client.create(PODS, pods), watched.until(pods.len(), such));
            start.elapsed()
        })
    }

    pub(crate) fn create(&mut self, collection: &str, object: String) {
        self.runtime.block_on(self.client.create(collection, &[object]));
    }

    fn patch(&mut self, object: &str, patch: &Value) {
        self.runtime.block_on(self.client.patch(object, patch));
    }

    fn watch(&mut self, collection: &str) -> Watched {
        self.runtime.block_on(self.client.watch(collection))
    }

    fn delete_pods(&mut self) -> Duration {
        let count = self.words(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).len();
        self.runtime.block_on(async {
            let mut watched = self.client.watch(PODS).await;
            let start = clock();
            futures::join!(self.client.delete_all(PODS), watched.until(count, is_deleted));
            start.elapsed()
        })
    }

    fn words(&self, args: &[&str]) -> Vec<String> {
        self.cluster.kubectl(args).split_whitespace().map(str::to_owned).collect()
    }

    /// Where Services answer, by their names.
    pub(crate) fn services(&self) -> HashMap<String, SocketAddr> {
        let list = "jsonpath={range .items[*]}{.metadata.name}={.spec.clusterIP} {end}";
        let words = self.words(&["get", "services", "-o", list]);
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 80);
        words
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, ip)| (name.to_owned(), address(ip)))
            .collect()
    }

    /// Where a Service answers.
    pub(crate) fn service(&self, name: &str) -> SocketAddr {
        self.services()[name]
    }

    /// Where a Pod answers.
    pub(crate) fn pod(&self, name: &str) -> SocketAddr {
        let ip = self.cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"]);
        SocketAddr::new(ip.parse().unwrap(), 8080)
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The value within which so many thousandths of all are.
pub(crate) fn within(values: &[f64], thousandths: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[(values.len() * thousandths / 1000).min(values.len() - 1)]
}
