//! Log: what a container wrote, fetched from its node and passed on as it comes.

use axum::response::Response;
use http::StatusCode;
use http::request::Parts;

use super::{Cx, streams};
use crate::error::Failure;
use crate::node_client::{Address, NodeClient};
use crate::object::Fields;
use crate::proxy::wants_upgrade;
use crate::request::query::Query;
use crate::status;

/// Parameters a node understands.
const PARAMETERS: &[&str] =
    &["follow", "previous", "tailLines", "sinceSeconds", "sinceTime", "timestamps", "limitBytes"];

/// Answers the log of a container.
pub(crate) async fn log(
    cx: &Cx<'_>,
    name: &str,
    (query, parts): (&Query, &Parts),
) -> Result<Response, Failure> {
    let pod = cx.state.find(&cx.key(name))?.ok_or_else(|| cx.not_found(name))?;
    let container = container(&pod, name, query.get("container").unwrap_or_default())?;
    for parameter in ["tailLines", "sinceSeconds", "limitBytes"] {
        query.number(parameter)?;
    }
    let node_name = pod.text("spec.nodeName");
    if node_name.is_empty() {
        return Ok(status::plain(StatusCode::NO_CONTENT, ""));
    }
    let address = address(cx, node_name)?;
    let path = format!("/containerLogs/{}/{name}/{container}{}", cx.namespace, parameters(query));
    if wants_upgrade(&parts.headers) {
        return streams::pass_on(cx, &address, &path, parts).await;
    }
    let client = client(cx)?;
    let response = client.get(&address, &path, &cx.state.tasks, &cx.state.stopping).await;
    response.map_err(|e| {
        Failure::Internal(format!("cannot fetch the log from node {node_name:?} ({address}): {}", chain(&e)))
    })
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The container asked for, or the only one.
pub(crate) fn container(pod: &wherry_schema::Value, name: &str, asked: &str) -> Result<String, Failure> {
    let own: Vec<&str> = pod.items("spec.containers").iter().map(|c| c.text("name")).collect();
    let init: Vec<&str> = pod.items("spec.initContainers").iter().map(|c| c.text("name")).collect();
    if !asked.is_empty() {
        let mut ephemeral = pod.items("spec.ephemeralContainers").iter().map(|c| c.text("name"));
        return if own.contains(&asked) || init.contains(&asked) || ephemeral.any(|name| name == asked) {
            Ok(asked.to_owned())
        } else {
            Err(Failure::BadRequest(format!("container {asked} is not valid for pod {name}")))
        };
    }
    match own.as_slice() {
        [only] => Ok((*only).to_owned()),
        all => {
            let mut text = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                all.join(" ")
            );
            if !init.is_empty() {
                text += " or one of the init containers: [";
                text += &init.join(" ");
                text.push(']');
            }
            Err(Failure::BadRequest(text))
        }
    }
}

/// Who talks to nodes.
pub(crate) fn client<'a>(cx: &Cx<'a>) -> Result<&'a NodeClient, Failure> {
    cx.state
        .node_client
        .as_ref()
        .ok_or_else(|| Failure::Unavailable("this server has no certificate for talking to nodes".to_owned()))
}

/// Where the agent of a node listens.
pub(crate) fn address(cx: &Cx<'_>, node_name: &str) -> Result<Address, Failure> {
    let nodes = wherry_api::kinds::by_kind("", "v1", "Node").expect("the kinds table has Node");
    let node = cx.state.find(&crate::codec::key(nodes, "", node_name))?;
    let node = node.ok_or_else(|| Failure::NotFound { kind: nodes, name: node_name.to_owned() })?;
    let internal = node.items("status.addresses").iter().find(|a| a.text("type") == "InternalIP");
    let own = cx.state.node_address.as_ref().filter(|(name, _)| name == node_name).map(|(_, ip)| *ip);
    let ip = own.or_else(|| internal.and_then(|a| a.text("address").parse().ok()));
    let port = node.int("status.daemonEndpoints.kubeletEndpoint.Port").and_then(|p| u16::try_from(p).ok());
    match (ip, port) {
        (Some(ip), Some(port)) => Ok(Address { ip, port }),
        _ => Err(Failure::Internal(format!("node {node_name:?} does not say where its agent listens"))),
    }
}

/// The parameters to pass on, as a query string.
fn parameters(query: &Query) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for name in PARAMETERS {
        if let Some(value) = query.get(name) {
            out.append_pair(name, value);
        }
    }
    let text = out.finish();
    if text.is_empty() { text } else { format!("?{text}") }
}
