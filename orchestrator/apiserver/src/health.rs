//! `/livez`, `/readyz` and `/healthz`: whether the server works, as a whole or check by check.
//!
//! A check that fails says why in the log only; `exclude` leaves checks out, `verbose` lists them all.

use axum::response::Response;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, StatusCode};

use crate::error::Failure;
use crate::request::query::Query;
use crate::state::State;
use crate::status::plain;

/// Something that has to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The server answers at all.
    Ping,
    /// The store takes writes. Named as upstream names the check of its store.
    Store,
    /// The server is not about to stop.
    Shutdown,
}

/// A path under which checks are made.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The first segment of the path.
    pub(crate) name: &'static str,
    /// What is checked.
    pub(crate) checks: &'static [Check],
}

/// Every path of health.
pub(crate) static ENDPOINTS: [Endpoint; 3] = [
    Endpoint { name: "healthz", checks: &[Check::Ping, Check::Store] },
    Endpoint { name: "livez", checks: &[Check::Ping, Check::Store] },
    Endpoint { name: "readyz", checks: &[Check::Ping, Check::Store, Check::Shutdown] },
];

impl Check {
    /// What clients call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Store => "etcd",
            Self::Shutdown => "shutdown",
        }
    }

    /// Makes the check; an error says what does not work.
    pub(crate) async fn run(self, state: &State) -> Result<(), String> {
        match self {
            Self::Store => state.store.flush().await.map(drop).map_err(|error| error.to_string()),
            Self::Shutdown if state.stopping.is_cancelled() => Err("the server is shutting down".to_owned()),
            Self::Ping | Self::Shutdown => Ok(()),
        }
    }
}

/// Answers a path of health: all checks, or the one named.
pub(crate) async fn answer(
    state: &State,
    name: &str,
    check: Option<&str>,
    query: &Query,
) -> Result<Response, Failure> {
    let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.name == name).ok_or(Failure::NoSuchPath)?;
    match check {
        None => Ok(all(state, endpoint, query).await),
        Some(check) => {
            let check = endpoint.checks.iter().find(|c| c.name() == check).ok_or(Failure::NoSuchPath)?;
            Ok(match check.run(state).await {
                Ok(()) => plain(StatusCode::OK, "ok"),
                Err(why) => failed(&format!("internal server error: {why}\n")),
            })
        }
    }
}

async fn all(state: &State, endpoint: &Endpoint, query: &Query) -> Response {
    let mut excluded: Vec<&str> = query.all("exclude");
    let mut lines = Vec::new();
    let mut healthy = true;
    for check in endpoint.checks {
        let name = check.name();
        if let Some(at) = excluded.iter().position(|e| *e == name) {
            excluded.remove(at);
            lines.push(format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check.run(state).await {
            Ok(()) => lines.push(format!("[+]{name} ok\n")),
            Err(why) => {
                tracing::warn!(endpoint = endpoint.name, check = name, why, "a health check failed");
                healthy = false;
                lines.push(format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        lines.push(format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
    }
    let lines = lines.concat();
    match (healthy, query.get("verbose")) {
        (false, _) => failed(&format!("{lines}{} check failed\n", endpoint.name)),
        (true, None) => plain(StatusCode::OK, "ok"),
        (true, Some(_)) => plain(StatusCode::OK, &format!("{lines}{} check passed\n", endpoint.name)),
    }
}

fn failed(text: &str) -> Response {
    let mut response = plain(StatusCode::INTERNAL_SERVER_ERROR, text);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
