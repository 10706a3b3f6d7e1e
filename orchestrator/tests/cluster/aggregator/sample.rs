//! The sample API server: flunders, kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::server::{Answer, Server, json_answer};
use crate::support::Cluster;

pub(crate) const GROUP: &str = "wardle.example.com";
pub(crate) const VERSION: &str = "v1alpha1";

/// What is kept: flunders by namespace and name, and all that happened.
struct Flunders {
    all: Mutex<BTreeMap<(String, String), Value>>,
    events: Mutex<Vec<Value>>,
    /// How many events there are.
    count: watch::Sender<usize>,
}

/// What a list or a watch is about; empty is any.
struct Wanted {
    namespace: String,
    name: String,
}

impl Wanted {
    fn has(&self, object: &Value) -> bool {
        let is = |field: &str, wanted: &str| wanted.is_empty() || object["metadata"][field] == wanted;
        is("namespace", &self.namespace) && is("name", &self.name)
    }
}

/// Starts a server of flunders.
pub(crate) async fn start(cluster: &Cluster) -> Server {
    let flunders =
        Arc::new(Flunders { all: Mutex::default(), events: Mutex::default(), count: watch::Sender::new(0) });
    Server::start(cluster, move |request| answer(Arc::clone(&flunders), request)).await
}

async fn answer(flunders: Arc<Flunders>, request: Request<Incoming>) -> Answer {
    let root = format!("/apis/{GROUP}/{VERSION}");
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix(&root) else {
        return json_answer(StatusCode::NOT_FOUND, &json!({}));
    };
    let steps: Vec<&str> = rest.split('/').filter(|step| !step.is_empty()).collect();
    match (request.method().clone(), steps.as_slice()) {
        (Method::GET, []) => json_answer(StatusCode::OK, &resources()),
        (Method::GET, ["flunders"]) => flunders.read(&request, ""),
        (Method::GET, ["namespaces", namespace, "flunders"]) => flunders.read(&request, namespace),
        (Method::GET, ["namespaces", namespace, "flunders", name]) => flunders.get(&request, namespace, name),
        (Method::POST, ["namespaces", namespace, "flunders"]) => flunders.create(request, namespace).await,
        (Method::DELETE, ["namespaces", namespace, "flunders"]) => {
            flunders.remove(|(in_namespace, _)| in_namespace == namespace)
        }
        (Method::DELETE, ["namespaces", namespace, "flunders", name]) => {
            flunders.remove(|key| key.0 == *namespace && key.1 == *name)
        }
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"kind": "Status", "apiVersion": "v1", "code": 404})),
    }
}

impl Flunders {
    fn happened(&self, sort: &str, object: &Value) {
        let mut events = self.events.lock();
        events.push(json!({"type": sort, "object": object}));
        self.count.send_replace(events.len());
    }

    async fn create(&self, request: Request<Incoming>, namespace: &str) -> Answer {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let count = *self.count.borrow();
        object["kind"] = json!("Flunder");
        object["apiVersion"] = json!(format!("{GROUP}/{VERSION}"));
        object["metadata"]["namespace"] = json!(namespace);
        object["metadata"]["uid"] = json!(format!("flunder-{count}"));
        object["metadata"]["resourceVersion"] = json!((count + 1).to_string());
        self.all.lock().insert((namespace.to_owned(), name), object.clone());
        self.happened("ADDED", &object);
        json_answer(StatusCode::CREATED, &object)
    }

    fn get(&self, request: &Request<Incoming>, namespace: &str, name: &str) -> Answer {
        let all = self.all.lock();
        let Some(object) = all.get(&(namespace.to_owned(), name.to_owned())) else {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                                "reason": "NotFound", "message": "not found"});
            return json_answer(StatusCode::NOT_FOUND, &status);
        };
        json_answer(StatusCode::OK, &shown(object, wants_metadata(request)))
    }

    fn remove(&self, is_meant: impl Fn(&(String, String)) -> bool) -> Answer {
        let mut all = self.all.lock();
        let keys: Vec<_> = all.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in keys {
            let object = all.remove(&key).unwrap();
            self.happened("DELETED", &object);
        }
        json_answer(StatusCode::OK, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }

    /// A list or a watch of a namespace, or of all.
    fn read(self: &Arc<Self>, request: &Request<Incoming>, namespace: &str) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let metadata = wants_metadata(request);
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        let wanted = Wanted {
            namespace: namespace.to_owned(),
            name: parameter("fieldSelector=metadata.name%3D").unwrap_or_default().to_owned(),
        };
        if parameter("watch=").is_some() {
            let since = parameter("resourceVersion=").and_then(|since| since.parse().ok());
            return self.watch(wanted, metadata, since.unwrap_or(0));
        }
        let all = self.all.lock();
        let found = all.iter().filter(|(_, object)| wanted.has(object));
        let items: Vec<Value> = found.map(|(_, object)| shown(object, metadata)).collect();
        let (kind, api_version) = if metadata {
            ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned())
        } else {
            ("FlunderList", format!("{GROUP}/{VERSION}"))
        };
        let version = self.count.borrow().to_string();
        let list = json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": version}, "items": items});
        json_answer(StatusCode::OK, &list)
    }

    fn watch(self: &Arc<Self>, wanted: Wanted, metadata: bool, since: usize) -> Answer {
        let state = (Arc::clone(self), self.count.subscribe(), since);
        let events = futures::stream::unfold(state, |(flunders, mut count, at)| async move {
            count.wait_for(|count| *count > at).await.ok()?;
            let event = flunders.events.lock()[at].clone();
            Some((event, (flunders, count, at + 1)))
        });
        let lines = events.filter_map(move |mut event| {
            let is_here = wanted.has(&event["object"]);
            event["object"] = shown(&event["object"], metadata);
            let frame = Frame::data(Bytes::from(format!("{event}\n")));
            std::future::ready(is_here.then_some(Ok(frame)))
        });
        let body = UnsyncBoxBody::new(StreamBody::new(lines));
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    }
}

fn wants_metadata(request: &Request<Incoming>) -> bool {
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata"))
}

fn shown(object: &Value, metadata: bool) -> Value {
    if !metadata {
        return object.clone();
    }
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [{
            "name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "watch"],
        }],
    })
}
