//! The Pod addresses of a node whose control plane gives them out: a part of the cluster's range, in its Node.

use k8s_openapi::api::core::v1::{Node, NodeSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Client};
use tracing::info;
use wherry_api::local_path;
use wherry_api::ranges::{Ranges, RangesError};

/// Why a node does not learn its Pod addresses.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The Node cannot be made or read.
    #[error("cannot register the node")]
    Register(#[source] kube::Error),
    /// The Node cannot be watched.
    #[error("cannot watch the node")]
    Watch(#[source] wait::Error),
    /// What the Node says is none, or two of one family.
    #[error("the node was given no Pod ranges that can be used: {given:?}")]
    Ranges {
        /// What it was given.
        given: String,
        /// What is wrong with it.
        source: RangesError,
    },
}

/// Registers the node if it is not known yet, and waits until its Node says which Pod addresses are its own.
pub async fn pod_range(client: Client, name: &str) -> Result<Ranges, RangeError> {
    let api = Api::<Node>::all(client);
    let node = match api.get_opt(name).await.map_err(RangeError::Register)? {
        Some(node) => node,
        None => api.create(&PostParams::default(), &bare(name)).await.map_err(RangeError::Register)?,
    };
    let node = if given(&node).is_empty() {
        info!(node = name, "waiting for the control plane to give this node its Pod addresses");
        let is_given = |node: Option<&Node>| node.is_some_and(|node| !given(node).is_empty());
        await_condition(api, name, is_given).await.map_err(RangeError::Watch)?.unwrap_or_default()
    } else {
        node
    };
    let given = given(&node).join(",");
    given.parse().map_err(|source| RangeError::Ranges { given, source })
}

fn given(node: &Node) -> &[String] {
    node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default()
}

/// A Node that says no more than that there is one; the rest comes when it is registered.
fn bare(name: &str) -> Node {
    let labels = [(local_path::HOSTNAME.to_owned(), name.to_owned())].into();
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Node { metadata, spec: Some(NodeSpec::default()), status: None }
}
