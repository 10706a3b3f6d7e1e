//! An API server in memory, as far as the agent uses one: objects by path, lists, watches, merges, deletions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use wherry_api::clock::{Clock, SystemClock};

/// A change of an object: where it is, what happened, the object.
type Change = (String, &'static str, Value);

/// The objects, and what was done to them.
pub(crate) struct FakeApi {
    state: Mutex<Objects>,
    /// By whose time tokens expire.
    clock: Mutex<Arc<dyn Clock>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Default)]
struct Objects {
    by_path: BTreeMap<String, Value>,
    revision: u64,
    /// Writes of pod statuses, in order.
    statuses: Vec<Value>,
    /// Token requests that were answered.
    token_requests: Vec<(String, Value)>,
    refuse_tokens: bool,
    /// Deletions: the path and the options.
    deletions: Vec<(String, Value)>,
}

impl FakeApi {
    /// An empty server.
    pub(crate) fn new() -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Arc::new(Self {
            state: Mutex::default(),
            clock: Mutex::new(clock),
            changes: broadcast::Sender::new(256),
        })
    }

    /// Takes the time from this clock.
    pub(crate) fn use_clock(&self, clock: Arc<dyn Clock>) {
        *self.clock.lock() = clock;
    }

    /// A client of the server.
    pub(crate) fn client(self: &Arc<Self>) -> kube::Client {
        kube::Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    /// Makes or replaces the object at the path (`/api/v1/namespaces/shop/pods/web`).
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let before = state.by_path.insert(path.to_owned(), object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let _nobody_watches = self.changes.send((path.to_owned(), kind, object));
    }

    /// Makes an object of the collection, unless there is one of its name.
    fn create(&self, collection: &str, mut object: Value) -> Response {
        if let (None, Some(prefix)) =
            (object["metadata"]["name"].as_str(), object["metadata"]["generateName"].as_str())
        {
            object["metadata"]["name"] = json!(format!("{prefix}{}", self.state.lock().revision));
        }
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        if self.get(&path).is_some() {
            return status(StatusCode::CONFLICT);
        }
        let uid = format!("uid-{}", self.state.lock().revision);
        object["metadata"]["uid"] = json!(uid);
        self.put(&path, object.clone());
        (StatusCode::CREATED, axum::Json(object)).into_response()
    }

    /// Removes the object at the path.
    pub(crate) fn remove(&self, path: &str) -> Option<Value> {
        let mut state = self.state.lock();
        let object = state.by_path.remove(path)?;
        state.revision += 1;
        let _nobody_watches = self.changes.send((path.to_owned(), "DELETED", object.clone()));
        Some(object)
    }

    /// The object at the path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().by_path.get(path).cloned()
    }

    /// Where all objects are.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state.lock().by_path.keys().cloned().collect()
    }

    /// Waits until the object at the path is as wanted.
    pub(crate) async fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(object) = self.get(path).filter(|object| wanted(object)) {
                return object;
            }
            let _lagged = changes.recv().await;
        }
    }

    /// Waits until the object at the path is gone.
    pub(crate) async fn wait_gone(&self, path: &str) {
        let mut changes = self.changes.subscribe();
        while self.get(path).is_some() {
            let _lagged = changes.recv().await;
        }
    }

    /// Waits until an event of this reason was told; its message.
    pub(crate) async fn wait_event(&self, reason: &str) -> String {
        let mut changes = self.changes.subscribe();
        loop {
            let found = self.events().into_iter().find(|(found, _)| found == reason);
            if let Some((_, message)) = found {
                return message;
            }
            let _lagged = changes.recv().await;
        }
    }

    /// Reasons and messages of all events so far, oldest first.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = self.state.lock();
        let mut events: Vec<&Value> = state
            .by_path
            .iter()
            .filter(|(path, _)| path.contains("/events/"))
            .map(|(_, event)| event)
            .collect();
        events.sort_by_key(|event| text(&event["metadata"]["name"]));
        events.into_iter().map(|event| (text(&event["reason"]), text(&event["message"]))).collect()
    }

    /// The pod status patches written so far.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.state.lock().statuses.clone()
    }

    /// The token requests so far: the path and what was asked for.
    pub(crate) fn token_requests(&self) -> Vec<(String, Value)> {
        self.state.lock().token_requests.clone()
    }

    /// Has token requests refused from now on, or answered again.
    pub(crate) fn refuse_tokens(&self, refuse: bool) {
        self.state.lock().refuse_tokens = refuse;
    }

    /// Answers with tokens that are numbered: `token-1`, `token-2`.
    fn issue_token(&self, path: &str, mut request: Value) -> Response {
        let mut state = self.state.lock();
        if state.refuse_tokens {
            return status(StatusCode::NOT_FOUND);
        }
        state.token_requests.push((path.to_owned(), request["spec"].clone()));
        let number = state.token_requests.len();
        let life = Duration::from_secs(request["spec"]["expirationSeconds"].as_u64().unwrap_or(3600));
        let expires = (self.clock.lock().now() + life).to_string();
        request["status"] = json!({ "token": format!("token-{number}"), "expirationTimestamp": expires });
        (StatusCode::CREATED, axum::Json(request)).into_response()
    }

    /// The deletions asked for so far.
    pub(crate) fn deletions(&self) -> Vec<(String, Value)> {
        self.state.lock().deletions.clone()
    }

    fn list(&self, collection: &str, query: &str) -> (Vec<Value>, u64) {
        let state = self.state.lock();
        let fits = |path: &str| in_collection(path, collection) && named(path, query);
        let items = state.by_path.iter().filter(|(path, _)| fits(path)).map(|(_, object)| object.clone());
        (items.collect(), state.revision)
    }

    fn watch(&self, collection: String, query: String) -> Response {
        let changes = futures::stream::unfold(self.changes.subscribe(), |mut changes| async move {
            changes.recv().await.ok().map(|change| (change, changes))
        });
        let lines = changes.filter_map(move |(path, kind, object)| {
            let fits = in_collection(&path, &collection) && named(&path, &query);
            let line = format!("{}\n", json!({ "type": kind, "object": object }));
            std::future::ready(fits.then(|| Ok::<_, Infallible>(Bytes::from(line))))
        });
        Body::from_stream(lines).into_response()
    }

    fn patch(&self, path: &str, patch: &Value) -> Response {
        let object_path = path.strip_suffix("/status").unwrap_or(path);
        let Some(mut object) = self.get(object_path) else { return status(StatusCode::NOT_FOUND) };
        merge(&mut object, patch);
        if path.ends_with("/status") && path.contains("/pods/") {
            self.state.lock().statuses.push(patch["status"].clone());
        }
        self.put(object_path, object.clone());
        axum::Json(object).into_response()
    }
}

/// Whether the path is of an object in the collection; `/api/v1/pods` is that of all namespaces.
fn in_collection(path: &str, collection: &str) -> bool {
    let Some((parent, _)) = path.rsplit_once('/') else { return false };
    if parent == collection {
        return true;
    }
    let (Some((start, plural)), Some((root, rest))) =
        (collection.rsplit_once('/'), parent.split_once("/namespaces/"))
    else {
        return false;
    };
    start == root && rest.split_once('/').is_some_and(|(_, found)| found == plural)
}

/// Whether the query selects this name, or any.
fn named(path: &str, query: &str) -> bool {
    let selector = query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
    selector.or_else(|| query.split("fieldSelector=metadata.name=").nth(1)).is_none_or(|name| {
        let name = name.split('&').next().unwrap_or_default();
        path.ends_with(&format!("/{name}"))
    })
}

/// Merges as far as the agent's patches need: objects by key, conditions by type, null removes.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match (key.as_str(), value) {
            (_, Value::Null) => drop(target.as_object_mut().unwrap().remove(key)),
            ("conditions", Value::Array(conditions)) => {
                for condition in conditions {
                    let list = target.as_object_mut().unwrap().entry("conditions").or_insert(json!([]));
                    let list = list.as_array_mut().unwrap();
                    let place = list.iter().position(|old| old["type"] == condition["type"]);
                    match place {
                        _ if condition["$patch"] == "delete" => drop(place.map(|place| list.remove(place))),
                        Some(place) => merge(&mut list[place], condition),
                        None => list.push(condition.clone()),
                    }
                }
            }
            (_, value) => merge(&mut target[key.as_str()], value),
        }
    }
}

fn status(code: StatusCode) -> Response {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": "NotFound", "message": "not found" });
    (code, axum::Json(body)).into_response()
}

async fn answer(State(api): State<Arc<FakeApi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match parts.method {
        Method::GET if query.contains("watch=true") || query.contains("watch=1") => api.watch(path, query),
        Method::GET => match api.get(&path) {
            Some(object) => axum::Json(object).into_response(),
            None if is_collection(&path) => {
                let (items, revision) = api.list(&path, &query);
                let metadata = json!({ "resourceVersion": revision.to_string() });
                axum::Json(
                    json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }),
                )
                .into_response()
            }
            None => status(StatusCode::NOT_FOUND),
        },
        Method::POST if path.ends_with("/token") => api.issue_token(&path, body),
        Method::POST => api.create(&path, body),
        Method::PUT => {
            api.put(&path, body.clone());
            axum::Json(body).into_response()
        }
        Method::PATCH => api.patch(&path, &body),
        Method::DELETE => {
            api.state.lock().deletions.push((path.clone(), body));
            match api.remove(&path) {
                Some(object) => axum::Json(object).into_response(),
                None => status(StatusCode::NOT_FOUND),
            }
        }
        _ => status(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn is_collection(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    matches!(
        last,
        "pods"
            | "services"
            | "configmaps"
            | "secrets"
            | "events"
            | "persistentvolumes"
            | "clustertrustbundles"
            | "podcertificaterequests"
    )
}
