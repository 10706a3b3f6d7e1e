//! Whether the servers of APIServices work: their condition `Available`.
//!
//! Servers are asked every ten seconds, and when an APIService or what leads to its server changes.

use std::sync::Arc;
use std::time::Duration;

use wherry_api::kinds::{by_kind, by_plural};
use wherry_schema::Value;
use wherry_store::Watch;

use super::ask::{Question, ask};
use super::remote::Elsewhere;
use super::{Remote, Remotes};
use crate::auth::{MASTERS, UserInfo};
use crate::codec;
use crate::error::Failure;
use crate::follow::Made;
use crate::object::Fields;
use crate::outbound::place;
use crate::request::query::WriteOptions;
use crate::state::State;
use crate::verbs::Cx;
use crate::verbs::update::{Part, Wanted, update};

/// How often servers are asked whether they work.
const PERIOD: Duration = Duration::from_secs(10);
/// In how many of these rounds they are asked for their documents once.
const ROUNDS: u32 = 6;
const MANAGER: &str = "kube-aggregator";

/// What was found out about a server.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    works: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn no(reason: &'static str, message: String) -> Self {
        Self { works: false, reason, message }
    }
}

/// Keeps the conditions of APIServices true until the server stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    let mut changes = Changes::new(&state);
    let mut round = 0;
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return,
            () = check(&state, round == 0) => {}
        }
        round = round.max(1);
        tokio::select! {
            () = state.stopping.cancelled() => return,
            _ = ticks.tick() => round = (round + 1) % ROUNDS,
            () = changes.next(&state) => {}
        }
    }
}

/// Changes that may change whether a server works.
struct Changes {
    services: Option<Watch>,
    /// Of Services and of EndpointSlices: what leads to servers.
    ways: [Option<Watch>; 2],
}

impl Changes {
    fn new(state: &State) -> Self {
        let watch = |prefix: &str| state.store.watch(prefix, state.store.revision()).ok();
        let ways = [("", "Service"), ("discovery.k8s.io", "EndpointSlice")];
        let ways = ways.map(|(group, kind)| by_kind(group, "v1", kind).map(|kind| codec::prefix(kind, None)));
        Self {
            services: watch(Remotes::PREFIX),
            ways: ways.map(|prefix| prefix.and_then(|prefix| watch(&prefix))),
        }
    }

    /// Waits for the next. A watch that ends begins anew.
    async fn next(&mut self, state: &State) {
        let concerns = |key: &str| {
            let remotes = state.aggregated.remotes();
            let mut there = remotes.all().filter_map(|remote| remote.there());
            there.any(|there| key.contains(&format!("/{}/{}", there.service.0, there.service.1)))
        };
        let [services, slices] = &mut self.ways;
        let going_on = tokio::select! {
            going_on = changed(&mut self.services, |_| true) => going_on,
            going_on = changed(services, concerns) => going_on,
            going_on = changed(slices, concerns) => going_on,
        };
        if !going_on {
            *self = Self::new(state);
        }
    }
}

/// Waits for a change of a key that concerns somebody; answers whether the watch goes on.
async fn changed(watch: &mut Option<Watch>, concerns: impl Fn(&str) -> bool) -> bool {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        match watch.next().await {
            Some(Ok(event)) if concerns(&event.entry.key) => return true,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    }
}

/// Asks all servers once; for their documents, too, if that is `due` or they have told of none yet.
async fn check(state: &State, due: bool) {
    let remotes = state.aggregated.remotes();
    state.aggregated.documents.keep(&remotes);
    for remote in remotes.all() {
        let verdict = judge(state, remote).await;
        if !verdict.works {
            state.aggregated.forget(&remote.name);
        } else if due || state.aggregated.documents.lacks(remote) {
            state.aggregated.documents.renew(state, remote).await;
        }
        // What is served in this process is always available, and its APIService says so.
        if remote.there().is_some()
            && let Err(failure) = record(state, &remote.name, &verdict).await
        {
            tracing::warn!(service = remote.name, error = %failure, "the condition of an APIService cannot be written");
        }
    }
}

/// Finds out whether a server works.
async fn judge(state: &State, remote: &Remote) -> Verdict {
    let Some(there) = remote.there() else { return discovered(state, remote, &path(remote)).await };
    let (namespace, name, _) = &there.service;
    let key = by_kind("", "v1", "Service").map(|kind| codec::key(kind, namespace, name));
    let Some(service) = key.and_then(|key| state.find(&key).ok().flatten()) else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return Verdict::no("ServiceNotFound", message);
    };
    if service.text("spec.type") == "ClusterIP"
        && let Some(verdict) = way(state, there, &service)
    {
        return verdict;
    }
    if let Err(why) = there.place.find(state) {
        return Verdict::no("FailedDiscoveryCheck", why);
    }
    discovered(state, remote, &url(there, &service, &path(remote))).await
}

/// Whether a server tells of its resources, which are kept for discovery.
async fn discovered(state: &State, remote: &Remote, url: &str) -> Verdict {
    match resources(state, remote, url).await {
        Ok(resources) => {
            state.aggregated.tell(&remote.name, resources);
            Verdict { works: true, reason: "Passed", message: "all checks passed".to_owned() }
        }
        Err(why) => {
            Verdict::no("FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
        }
    }
}

/// Why a Service with an address of its own does not lead to a server.
fn way(state: &State, there: &Elsewhere, service: &Value) -> Option<Verdict> {
    let (namespace, name, port) = &there.service;
    let mut ports = service.items("spec.ports").iter();
    let Some(found) = ports.find(|found| found.int("port") == Some(i64::from(*port))) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Verdict::no("ServicePortError", message));
    };
    let slices = place::slices(state, namespace, name);
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Verdict::no("EndpointsNotFound", message));
    }
    let port = found.text("name");
    if slices.iter().all(|slice| place::ready(slice, port).is_empty()) {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port:?}"
        );
        return Some(Verdict::no("MissingEndpoints", message));
    }
    None
}

/// Where a server is asked, as messages say it.
fn url(there: &Elsewhere, service: &Value, path: &str) -> String {
    let address = match service.text("spec.clusterIP") {
        "" | "None" => there.place.authority.clone(),
        ip if ip.contains(':') => format!("[{ip}]:{}", there.service.2),
        ip => format!("{ip}:{}", there.service.2),
    };
    format!("https://{address}{path}")
}

fn path(remote: &Remote) -> String {
    format!("/apis/{}/{}", remote.group, remote.version)
}

/// Asks a server for the resources of its version.
async fn resources(state: &State, remote: &Remote, url: &str) -> Result<Value, String> {
    let user = UserInfo::new("system:kube-aggregator", &[MASTERS]);
    let question = Question { user, path: &path(remote), known: None };
    let answer = ask(state, remote, &question).await.map_err(|why| format!("Get {url:?}: {why}"))?;
    if !answer.status.is_success() {
        return Err(format!("bad status from {url}: {}", answer.status.as_u16()));
    }
    Value::from_json(&answer.body).map_err(|error| error.to_string())
}

/// Writes the condition, unless it says the same already.
async fn record(state: &State, name: &str, verdict: &Verdict) -> Result<(), Failure> {
    let Some(kind) = by_plural("apiregistration.k8s.io", "v1", "apiservices") else { return Ok(()) };
    let cx = Cx::new(state, kind, "");
    let options = WriteOptions::own(MANAGER);
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
