//! Binds a Pod to a node, and finds out whether it is bound if the answer does not come.
//!
//! Guarantees: `Ok` and [`Refused`] are both certain. Without an answer nothing is assumed: the Pod is looked at, and
//! as long as it has no node the same binding is written again, which can only be granted once.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::{ObjectMeta, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde::de::IgnoredAny;
use tracing::debug;

use crate::extender::{Extender, ExtenderError};
use crate::pod::PodInfo;

pub(super) const FIRST_WAIT: Duration = Duration::from_millis(50);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why a Pod is not bound to the node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The API server says no.
    #[error("{}", .0.message)]
    Denied(Box<Status>),
    /// Somebody else bound it.
    #[error("the Pod is on another node")]
    Elsewhere,
    /// It is no longer there.
    #[error("the Pod is gone")]
    Gone,
    /// An extender was to bind it, and did not.
    #[error(transparent)]
    Extender(#[from] ExtenderError),
}

/// What looking at a Pod told.
enum Seen {
    OnThisNode,
    Elsewhere,
    Unbound,
    Gone,
}

/// Binds a Pod to a node.
pub(crate) async fn bind(client: Client, pod: Arc<PodInfo>, node: String) -> Result<(), Refused> {
    let api = Api::<Pod>::namespaced(client, &pod.namespace);
    let (mut wait, mut unsure) = (FIRST_WAIT, false);
    loop {
        match post(&api, &pod, &node).await {
            Ok(()) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(Refused::Gone),
            Err(kube::Error::Api(status)) if is_certain(&status) && !(unsure && status.code == 409) => {
                return Err(Refused::Denied(status));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                debug!(namespace = pod.namespace, pod = pod.name, error, "a binding has no certain answer");
            }
        }
        unsure = true;
        let seen = loop {
            match look(&api, &pod, &node).await {
                Ok(seen) => break seen,
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        match seen {
            Seen::OnThisNode => return Ok(()),
            Seen::Elsewhere => return Err(Refused::Elsewhere),
            Seen::Gone => return Err(Refused::Gone),
            Seen::Unbound => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Has an extender bind a Pod to a node. Whatever it says, the API knows.
pub(crate) async fn bind_by(
    extender: &Extender,
    client: Client,
    pod: Arc<PodInfo>,
    node: String,
) -> Result<(), Refused> {
    let said = match extender.bind((&pod.namespace, &pod.name, &pod.uid), &node).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if extender.is_ignorable() {
        return bind(client, pod, node).await;
    }
    let api = Api::<Pod>::namespaced(client, &pod.namespace);
    let mut wait = FIRST_WAIT;
    loop {
        match look(&api, &pod, &node).await {
            Ok(Seen::OnThisNode) => return Ok(()),
            Ok(Seen::Elsewhere) => return Err(Refused::Elsewhere),
            Ok(Seen::Gone) => return Err(Refused::Gone),
            Ok(Seen::Unbound) => return Err(said.into()),
            Err(_) => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether such an answer says that nothing happened.
pub(super) fn is_certain(status: &Status) -> bool {
    status.code < 500 && status.code != 429
}

async fn post(api: &Api<Pod>, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
    let metadata = ObjectMeta {
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectMeta::default()
    };
    let (kind, name) = (Some("Node".to_owned()), Some(node.to_owned()));
    let binding = Binding { metadata, target: ObjectReference { kind, name, ..ObjectReference::default() } };
    let _: IgnoredAny =
        api.create_subresource("binding", &pod.name, &PostParams::default(), &binding).await?;
    Ok(())
}

async fn look(api: &Api<Pod>, pod: &PodInfo, node: &str) -> Result<Seen, kube::Error> {
    let Some(found) = api.get_opt(&pod.name).await? else { return Ok(Seen::Gone) };
    if found.metadata.uid.as_deref() != Some(&pod.uid) {
        return Ok(Seen::Gone);
    }
    let at = found.spec.and_then(|spec| spec.node_name).filter(|at| !at.is_empty());
    Ok(match at {
        None => Seen::Unbound,
        Some(at) if at == node => Seen::OnThisNode,
        Some(_) => Seen::Elsewhere,
    })
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
