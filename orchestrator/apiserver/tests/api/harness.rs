//! A server on a store in a temporary directory, and a client that reads like a sentence.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;
use wherry_api::clock::Clock;
use wherry_apiserver::{ApiServer, Config, UserInfo, bootstrap, extractor};
use wherry_store::{Options, Store};

/// A clock that stands still until it is told to move.
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn advance(&self, seconds: i64) {
        let mut now = self.0.lock();
        *now = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A server and a client of it.
pub(crate) struct Api {
    pub(crate) server: ApiServer,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Store,
    router: Router,
    /// What the server does by itself; ends with this.
    tasks: JoinSet<()>,
    directory: tempfile::TempDir,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The body, after checking that the request was refused or accepted as expected.
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code.as_u16(), code, "{}", self.text);
        self.body
    }

    /// Checks that the request was refused for this reason and with this text.
    #[track_caller]
    pub(crate) fn refused(self, code: u16, reason: &str, message: &str) -> Value {
        let body = self.expect(code);
        assert_eq!((body["kind"].as_str(), body["status"].as_str()), (Some("Status"), Some("Failure")));
        assert_eq!(body["reason"].as_str().unwrap_or_default(), reason);
        assert_eq!(body["message"].as_str().unwrap_or_default(), message);
        assert_eq!(body["code"], code);
        body
    }
}

/// The events of a watch.
pub(crate) struct Events {
    body: BodyDataStream,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.buffer.extend_from_slice(&self.body.next().await?.unwrap());
        }
    }

    /// The types and names of the next events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("the watch goes on");
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            events.push(format!("{} {name}", event["type"].as_str().unwrap()));
        }
        events
    }
}

impl Api {
    /// A server with the namespace `default`.
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// A server with a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(Mutex::new("2024-05-06T07:08:09Z".parse().unwrap())));
        let store = open(&directory.path().join("store"));
        let counter = AtomicU64::new(1);
        let ids = Arc::new(move || {
            format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed))
        });
        let cidr = "10.96.0.0/16".parse().unwrap();
        let mut config = Config::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>, ids, cidr);
        change(&mut config);
        let server = ApiServer::new(config);
        let mut tasks = JoinSet::new();
        let keeper = server.clone();
        tasks.spawn(async move { Box::pin(keeper.keep()).await });
        let router = server.router_as(UserInfo::master("tester"));
        let api = Self { server, clock, store, router, tasks, directory };
        api.namespace("default").await;
        api
    }

    /// The store as it would be found if the machine stopped now.
    pub(crate) fn after_a_crash(&self) -> Store {
        let copy = tempfile::tempdir_in(&self.directory).unwrap().keep().join("store");
        std::fs::copy(self.directory.path().join("store"), &copy).unwrap();
        open(&copy)
    }

    /// Waits until the server has ended what it does by itself.
    pub(crate) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Makes the roles and bindings every cluster begins with.
    pub(crate) async fn default_policy(&self) {
        let group = "/apis/rbac.authorization.k8s.io/v1";
        for role in bootstrap::cluster_roles() {
            self.post(&format!("{group}/clusterroles"), &role).await.expect(201);
        }
        for binding in bootstrap::cluster_role_bindings() {
            self.post(&format!("{group}/clusterrolebindings"), &binding).await.expect(201);
        }
    }

    /// Makes a namespace with the ServiceAccount that Pods in it run as.
    pub(crate) async fn namespace(&self, name: &str) {
        self.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await.expect(201);
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        self.post(&accounts, &json!({"metadata": {"name": "default"}})).await.expect(201);
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Request::get(path).header("accept", accept).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.raw("POST", path, "application/json", body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.raw("PUT", path, "application/json", body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        self.raw("PATCH", path, &format!("application/{kind}+json"), body.to_string()).await
    }

    /// Applies a configuration for a manager; more of the query may follow its name.
    pub(crate) async fn apply(&self, path: &str, manager: &str, config: &Value) -> Answer {
        let path = format!("{path}?fieldManager={manager}");
        self.raw("PATCH", &path, "application/apply-patch+yaml", config.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.raw("DELETE", path, "application/json", options.to_string()).await
    }

    pub(crate) async fn raw(&self, method: &str, path: &str, media: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    pub(crate) async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: response.into_body().into_data_stream(), buffer: Vec::new() }
    }

    /// Makes a ConfigMap in `default`.
    pub(crate) async fn config_map(&self, name: &str, labels: &Value) -> Value {
        let body = json!({"metadata": {"name": name, "labels": labels}});
        self.post(CONFIG_MAPS, &body).await.expect(201)
    }

    /// Makes a Pod in `default`, bound to a node if one is named.
    pub(crate) async fn pod(&self, name: &str, node: Option<&str>) -> Value {
        let body = json!({
            "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        });
        self.post(PODS, &body).await.expect(201)
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, Options::new(extractor(), Arc::new(|| 1_700_000_000_000))).unwrap()
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { code: parts.status, headers: parts.headers, body, text }
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// The names of the items of a list.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect()
}

/// A Deployment of one container.
pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}
