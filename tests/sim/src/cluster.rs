//! The API server of a simulation, and who talks to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use wherry_api::clock::Clock;
use wherry_apiserver::{ApiServer, Config, UserInfo, extractor};
use wherry_store::{Options, Store, WriterTask};

use crate::clock::SimClock;
use crate::network::Network;
use crate::node::GRACE;
use crate::random::Random;

/// The namespace in which everything happens.
pub(crate) const NAMESPACE: &str = "sim";

/// A store with an API server on it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// The store.
    pub(crate) store: Store,
    /// The API server.
    pub(crate) server: ApiServer,
    /// The time.
    pub(crate) clock: SimClock,
}

impl Cluster {
    /// An empty cluster. To be called in the simulation's runtime.
    pub(crate) fn start() -> Self {
        let clock = SimClock::start();
        let millis = move || u64::try_from(clock.now().as_millisecond()).unwrap_or_default();
        let mut options = Options::new(extractor(), Arc::new(millis));
        options.writer = WriterTask::Caller;
        let store = Store::in_memory(options).expect("memory can be opened");
        let counter = AtomicU64::new(1);
        let ids = move || {
            // The last digits name generated objects, so they must differ.
            let id = counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{:08x}-0000-4000-8000-{:012x}", id >> 32, id & 0xffff_ffff)
        };
        let cidr = "10.96.0.0/16".parse().expect("a range");
        let mut config = Config::new(store.clone(), Arc::new(clock), Arc::new(ids), cidr);
        config.bookmark_seconds = 250;
        Self { store, server: ApiServer::new(config), clock }
    }

    /// Whoever may do everything, over a way on which nothing goes wrong.
    pub(crate) fn caller(&self) -> Caller {
        Caller(self.router("simulation"))
    }

    /// The way of requests of a member of `system:masters`.
    pub(crate) fn router(&self, user: &str) -> Router {
        self.server.router_as(UserInfo::new(user, &["system:masters", "system:authenticated"]))
    }

    /// Runs the controllers, and while the weather is bad kills and starts them again and again.
    pub(crate) async fn controllers(
        self,
        network: Network,
        random: Random,
        seed: u64,
        calm: CancellationToken,
    ) {
        let mut config = wherry_controllers::Config::new(Arc::new(self.clock));
        config.seed = seed;
        config.node_grace = GRACE;
        loop {
            let client = Client::new(network.clone(), NAMESPACE);
            let mut running = JoinSet::new();
            running.spawn(wherry_controllers::run(client, config.clone(), CancellationToken::new()));
            tokio::select! {
                biased;
                _ = running.join_next() => {}
                () = calm.cancelled() => drop(running.join_next().await),
                () = sleep(random.millis(2_000..=40_000)) => {}
            }
            running.shutdown().await;
            sleep(random.millis(0..=3_000)).await;
        }
    }
}

/// Sends requests and reads answers as JSON.
#[derive(Clone)]
pub(crate) struct Caller(Router);

impl Caller {
    /// Sends a request; answers its code and its body.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let content =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .expect("a request");
        let answer = match self.0.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err::<_, Infallible>(never) => match never {},
        };
        let code = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Creates something that nothing forbids.
    pub(crate) async fn create(&self, path: &str, body: &Value) {
        let (code, answer) = self.call(Method::POST, path, Some(body)).await;
        assert!(code.is_success(), "{path}: {answer}");
    }

    /// Changes something by a merge patch; answers whether it was there.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> bool {
        let (code, answer) = self.call(Method::PATCH, path, Some(body)).await;
        let gone = matches!(code, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
        assert!(code.is_success() || gone, "{path} {body}: {answer}");
        code.is_success()
    }

    /// Deletes something, if it is there.
    pub(crate) async fn delete(&self, path: &str, options: &Value) {
        let (code, answer) = self.call(Method::DELETE, path, Some(options)).await;
        let gone = matches!(code, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
        assert!(code.is_success() || gone, "{path}: {answer}");
    }

    /// The objects of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let (_, mut answer) = self.call(Method::GET, path, None).await;
        answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
    }

    /// Makes the ServiceAccount that Pods of a namespace run as.
    pub(crate) async fn account(&self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&path, &json!({"metadata": {"name": "default"}})).await;
    }
}
