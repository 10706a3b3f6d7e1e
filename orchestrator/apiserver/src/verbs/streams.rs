//! Streams: commands run in containers, programs attached to, ports forwarded. The node speaks with the client; this server
//! finds the node and passes bytes on.

use axum::body::Body;
use axum::response::Response;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::upgrade::OnUpgrade;

use super::{Cx, log};
use crate::authorize::{Attributes, Object, Resource, refusal};
use crate::error::Failure;
use crate::node_client::Address;
use crate::object::Fields;
use crate::proxy::{Passed, Peer, connect, headers, tunnel, wants_upgrade};
use crate::request::query::Query;

/// What clients ask for, and what it is called on the way to a node.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// Opens a Pod's `attach`, `exec` or `portforward`.
pub(crate) async fn open(
    cx: &Cx<'_>,
    name: &str,
    part: &str,
    (query, parts): (&Query, &Parts),
) -> Result<Response, Failure> {
    may_create(cx, name, part, &parts.method).await?;
    let (node, path) = find(cx, name, part, query)?;
    if !wants_upgrade(&parts.headers) {
        return Err(Failure::BadRequest("Upgrade request required".to_owned()));
    }
    pass_on(cx, &log::address(cx, &node)?, &path, parts).await
}

/// Passes a request to change to another protocol on to a node, and then what either side says.
pub(super) async fn pass_on(
    cx: &Cx<'_>,
    address: &Address,
    path: &str,
    parts: &Parts,
) -> Result<Response, Failure> {
    let client = parts.extensions.get::<OnUpgrade>();
    let client = client.ok_or_else(|| Failure::BadRequest("Upgrade request required".to_owned()))?;
    let request = outgoing(parts, path, &address.to_string())?;
    let failed = |error: &dyn std::fmt::Display| Failure::Internal(format!("error dialing backend: {error}"));
    let stream = log::client(cx)?.connect(address).await.map_err(|error| failed(&log::chain(&error)))?;
    let mut answer =
        connect::send(cx.state, Box::new(stream), request).await.map_err(|error| failed(&error))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        tunnel::open(cx.state, client.clone(), &mut answer);
    } else {
        headers::clean(answer.headers_mut());
    }
    answer.extensions_mut().insert(Passed);
    Ok(answer)
}

/// Leave to read is no leave to run something: what comes as a GET, by WebSocket, needs the verb of a POST as well.
async fn may_create(cx: &Cx<'_>, name: &str, part: &str, method: &Method) -> Result<(), Failure> {
    let Some(user) = cx.user.filter(|_| *method == Method::GET) else { return Ok(()) };
    let (version, plural, namespace) = ("v1", cx.kind.plural, cx.namespace);
    let resource = Resource { version, plural, part, namespace, name, ..Resource::default() };
    let attributes = Attributes { user, verb: "create", object: Object::Resource(resource) };
    let decision = cx.state.authorizer.decide(&attributes).await;
    match (decision.allowed, decision.error.as_str()) {
        (true, _) => Ok(()),
        (false, "") => Err(refusal(&attributes, &decision.reason)),
        (false, error) => Err(Failure::Internal(error.to_owned())),
    }
}

/// The node of a Pod, and what it is asked for.
fn find(cx: &Cx<'_>, name: &str, part: &str, query: &Query) -> Result<(String, String), Failure> {
    let pod = cx.state.find(&cx.key(name))?.ok_or_else(|| cx.not_found(name))?;
    let container = match part {
        "portforward" => String::new(),
        _ => log::container(&pod, name, query.get("container").unwrap_or_default())?,
    };
    let node = pod.text("spec.nodeName");
    if node.is_empty() {
        return Err(Failure::BadRequest(format!("pod {name} does not have a host assigned")));
    }
    let namespace = cx.namespace;
    let path = match part {
        "portforward" => format!("/portForward/{namespace}/{name}{}", ports(query)?),
        _ => format!("/{part}/{namespace}/{name}/{container}?{}", parameters(query)),
    };
    Ok((node.to_owned(), path))
}

/// The ports that are asked for: each is a number, several of them a list or a parameter each. Only WebSocket's channels name any.
fn ports(query: &Query) -> Result<String, Failure> {
    let all = query.all("ports");
    let named: Vec<&str> = all.iter().flat_map(|list| list.split(',')).collect();
    for port in &named {
        port.parse::<u16>()
            .map_err(|error| Failure::BadRequest(format!("cannot convert to []int32: {port:?}: {error}")))?;
    }
    Ok(if named.is_empty() { String::new() } else { format!("?port={}", named.join(",")) })
}

fn parameters(query: &Query) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (asked, passed) in STREAMS {
        if query.flag(asked) {
            out.append_pair(passed, "1");
        }
    }
    for word in query.all("command") {
        out.append_pair("command", word);
    }
    out.finish()
}

/// The request as it goes to the node.
fn outgoing(parts: &Parts, path: &str, host: &str) -> Result<Request<Body>, Failure> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = path
        .parse()
        .map_err(|error| Failure::BadRequest(format!("the request cannot be passed on: {error}")))?;
    let mut all = parts.headers.clone();
    headers::keep_secrets(&mut all);
    headers::forward(&mut all, true, parts.extensions.get::<Peer>().map(|peer| peer.0));
    if let Ok(host) = HeaderValue::try_from(host) {
        all.insert(HOST, host);
    }
    *request.headers_mut() = all;
    Ok(request)
}
