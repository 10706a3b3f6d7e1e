//! Streams: commands run in containers, terminals attached to them, ports forwarded. Nodes do not serve them yet, so
//! requests that are right in all else are refused as not implemented.

use http::HeaderMap;

use super::{Cx, log};
use crate::error::Failure;
use crate::object::Fields;
use crate::proxy::wants_upgrade;
use crate::request::query::Query;

/// Says why a Pod's `attach`, `exec` or `portforward` is refused.
pub(crate) fn refuse(cx: &Cx<'_>, name: &str, part: &str, (query, headers): (&Query, &HeaderMap)) -> Failure {
    match check(cx, name, part, query) {
        Err(failure) => failure,
        Ok(()) if !wants_upgrade(headers) => Failure::BadRequest("Upgrade request required".to_owned()),
        Ok(()) => {
            Failure::Unimplemented(format!("pods/{part} is not implemented: nodes do not serve it yet"))
        }
    }
}

/// The Pod must exist, have the container, and be bound.
fn check(cx: &Cx<'_>, name: &str, part: &str, query: &Query) -> Result<(), Failure> {
    let pod = cx.state.find(&cx.key(name))?.ok_or_else(|| cx.not_found(name))?;
    if part != "portforward" {
        log::container(&pod, name, query.get("container").unwrap_or_default())?;
    }
    if pod.text("spec.nodeName").is_empty() {
        return Err(Failure::BadRequest(format!("pod {name} does not have a host assigned")));
    }
    Ok(())
}
