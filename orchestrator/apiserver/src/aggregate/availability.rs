//! Whether the servers of APIServices work: their condition `Available`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{ACCEPT, HOST};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Limited};
use wherry_api::kinds::by_plural;
use wherry_schema::{FieldValidation, Value};

use super::{Remote, Remotes, forward};
use crate::auth::{MASTERS, UserInfo};
use crate::error::Failure;
use crate::follow::Made;
use crate::object::Fields;
use crate::outbound::place::{self, Lost};
use crate::request::query::WriteOptions;
use crate::state::State;
use crate::verbs::Cx;
use crate::verbs::update::{Part, Wanted, update};

/// How often servers are asked whether they work.
const PERIOD: Duration = Duration::from_secs(10);
/// How long one may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const MOST: usize = 4 << 20;
const MANAGER: &str = "kube-aggregator";

/// What was found out about a server.
struct Verdict {
    works: bool,
    reason: &'static str,
    message: String,
}

/// Keeps the conditions of APIServices true until the server stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    let mut changes = state.store.watch(Remotes::PREFIX, state.store.revision()).ok();
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return,
            () = check(&state) => {}
        }
        let changed = async {
            match &mut changes {
                Some(watch) => matches!(watch.next().await, Some(Ok(_))),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = state.stopping.cancelled() => return,
            _ = ticks.tick() => {}
            going_on = changed => if !going_on {
                changes = state.store.watch(Remotes::PREFIX, state.store.revision()).ok();
            },
        }
    }
}

/// Asks all servers once.
async fn check(state: &State) {
    for remote in state.aggregated.remotes().all() {
        let verdict = judge(state, remote).await;
        if !verdict.works {
            state.aggregated.told.lock().remove(&remote.name);
        }
        if let Err(failure) = record(state, &remote.name, &verdict).await {
            tracing::warn!(service = remote.name, error = %failure, "the condition of an APIService cannot be written");
        }
    }
}

/// Finds out whether a server works.
async fn judge(state: &State, remote: &Remote) -> Verdict {
    let (namespace, name, port) = &remote.service;
    let no = |reason, message| Verdict { works: false, reason, message };
    match place::of_service(state, namespace, name, *port) {
        Err(Lost::Service(_)) => {
            return no("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
        }
        Err(Lost::Port(..)) => {
            let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
            return no("ServicePortError", message);
        }
        Err(Lost::Endpoints(_)) => {
            let message = format!("endpoints for service/{name} in {namespace:?} have no addresses");
            return no("MissingEndpoints", message);
        }
        Ok(_) => {}
    }
    match tokio::time::timeout(PATIENCE, ask(state, remote)).await {
        Ok(Ok(resources)) => {
            state.aggregated.told.lock().insert(remote.name.clone(), Arc::new(resources));
            Verdict { works: true, reason: "Passed", message: "all checks passed".to_owned() }
        }
        Ok(Err(why)) => no("FailedDiscoveryCheck", format!("failing or missing response from {why}")),
        Err(_) => {
            let url = url(remote);
            let why =
                format!("failing or missing response from {url}: Get {url:?}: context deadline exceeded");
            no("FailedDiscoveryCheck", why)
        }
    }
}

fn url(remote: &Remote) -> String {
    format!("https://{}/apis/{}/{}", remote.place.authority, remote.group, remote.version)
}

/// Asks a server for the resources of its version.
async fn ask(state: &State, remote: &Remote) -> Result<Value, String> {
    let url = url(remote);
    let mut headers = HeaderMap::new();
    forward::identify(&mut headers, &UserInfo::new("system:kube-aggregator", &[MASTERS]));
    let mut request = Request::get(format!("/apis/{}/{}", remote.group, remote.version))
        .header(HOST, &remote.place.authority)
        .header(ACCEPT, "application/json")
        .body(Body::empty())
        .map_err(|error| format!("{url}: {error}"))?;
    request.headers_mut().extend(headers);
    let answer = forward::send(state, remote, request).await;
    let answer = answer.map_err(|why| format!("{url}: Get {url:?}: {why}"))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("{url}: bad status from {url}: {}", status.as_u16()));
    }
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    let body = body.map_err(|error| format!("{url}: {error}"))?.to_bytes();
    Value::from_json(&body).map_err(|error| format!("{url}: {error}"))
}

/// Writes the condition, unless it says the same already.
async fn record(state: &State, name: &str, verdict: &Verdict) -> Result<(), Failure> {
    let Some(kind) = by_plural("apiregistration.k8s.io", "v1", "apiservices") else { return Ok(()) };
    let cx = Cx::new(state, kind, "");
    let options = WriteOptions {
        dry_run: false,
        validation: FieldValidation::Ignore,
        manager: MANAGER.to_owned(),
        names_manager: true,
        force: None,
    };
    let change = &mut |old: &Value| {
        let mut object = old.clone();
        object.put("status.conditions", vec![condition(old, verdict, &state.timestamp())]);
        Ok(Wanted::Patched(object))
    };
    match update(&cx, name, Part::Status, &options, change).await {
        Ok(_) | Err(Failure::NotFound { .. }) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn condition(old: &Value, verdict: &Verdict, now: &str) -> Value {
    let before = old.items("status.conditions").iter().find(|known| known.text("type") == "Available");
    let status = if verdict.works { "True" } else { "False" };
    let since = before.filter(|before| before.text("status") == status);
    let mut condition = Value::object();
    for (field, text) in [
        ("type", "Available"),
        ("status", status),
        ("lastTransitionTime", since.map_or(now, |before| before.text("lastTransitionTime"))),
        ("reason", verdict.reason),
        ("message", &verdict.message),
    ] {
        condition.put(field, text);
    }
    condition
}
