//! A request passed on to the server that serves its version, in the name of the caller.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Remote;
use super::remote::Server;
use crate::auth::UserInfo;
use crate::outbound;
use crate::proxy::headers::{self, wants_upgrade};
use crate::proxy::{Passed, Peer, connect, tunnel};
use crate::state::State;
use crate::status::plain;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// What may stand in the name of a header as it is.
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Passes a request on and answers what comes back, bytes of other protocols included.
pub(crate) async fn forward(
    state: &State,
    remote: &Remote,
    user: &UserInfo,
    (parts, body): (&Parts, Body),
) -> Response {
    if remote.there().is_some_and(|there| !there.available) {
        return passed(plain(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n"));
    }
    let upgrade = parts.extensions.get::<OnUpgrade>().filter(|_| wants_upgrade(&parts.headers));
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    let uri = parts.uri.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()));
    *request.uri_mut() = uri;
    *request.headers_mut() = outgoing(remote, user, parts, upgrade.is_some());
    match send(state, remote, request).await {
        Ok(mut answer) => {
            match upgrade {
                Some(client) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    tunnel::open(state, client.clone(), &mut answer);
                }
                _ => headers::clean(answer.headers_mut()),
            }
            passed(answer)
        }
        Err(why) => {
            let text = format!("error trying to reach service: {why}\n");
            passed(plain(StatusCode::SERVICE_UNAVAILABLE, &text))
        }
    }
}

/// Marks an answer as that of another server, which stays as it is.
fn passed(mut answer: Response) -> Response {
    answer.extensions_mut().insert(Passed);
    answer
}

/// Sends a request to a server over a connection of its own, or hands it to the part of this process that answers it.
pub(super) async fn send(state: &State, remote: &Remote, request: Request<Body>) -> Result<Response, String> {
    let there = match &remote.server {
        // What is served here is only read, so no body belongs to a request.
        Server::Here(answer) => return Ok(answer(request.map(drop)).await.map(Body::from)),
        Server::Elsewhere(there) => there,
    };
    let tls = there.tls(state)?;
    let opening = outbound::connect::open(state, &there.place, &tls);
    let stream =
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err("i/o timeout".to_owned()))?;
    connect::send(state, Box::new(stream), request).await.map_err(|error| error.to_string())
}

/// The headers as they go on: without what is this hop's own or lets the caller in here, and with who the caller is.
fn outgoing(remote: &Remote, user: &UserInfo, parts: &Parts, upgrade: bool) -> HeaderMap {
    let mut all = parts.headers.clone();
    headers::keep_secrets(&mut all);
    headers::forward(&mut all, upgrade, parts.extensions.get::<Peer>().map(|peer| peer.0));
    identify(&mut all, user);
    name(&mut all, remote);
    all
}

/// Says by what name the server is meant.
pub(super) fn name(headers: &mut HeaderMap, remote: &Remote) {
    let host = remote.there().and_then(|there| HeaderValue::try_from(&there.place.authority).ok());
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
}

/// Says who the caller is, in the headers that this server's certificate makes believable.
pub(super) fn identify(headers: &mut HeaderMap, user: &UserInfo) {
    let mut say = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    };
    say("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        say("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        say("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", utf8_percent_encode(key, IN_NAMES));
        for value in values {
            say(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_told_in_headers() {
        let mut user = UserInfo::new("alice", &["dev", "ops"]);
        user.extra.insert("example.com/a b".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user);
        let all = |name: &str| -> Vec<&str> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!((all("x-remote-user"), all("x-remote-group")), (vec!["alice"], vec!["dev", "ops"]));
        assert_eq!(all("x-remote-extra-example.com%2fa%20b"), ["1", "2"]);
    }
}
