//! Node IPAM: gives every node its parts of the cluster's Pod ranges, as upstream's range allocator.
//!
//! Flow: when nodes come, go or are given parts by others, all nodes are looked at together ([`plan`]), and those that
//! have none are given some, one write each.
//!
//! Guarantees: what a node has is never changed, by nobody (the API refuses it); no part is given twice. Nothing is
//! remembered over a restart: the Nodes say who has what, and a part is free as soon as its Node is gone.

mod config;
mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tracing::{info, warn};

use crate::context::{Caches, Context};
use crate::objects::meta::reference;
use crate::runtime::error::{ReconcileError, Step, is_conflict, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
pub use config::{NodeRange, NodeRangeError, NodeRanges};
use plan::{Memory, Plan, parts, plan};

/// See the module's documentation. There is one key: all nodes together.
pub(crate) struct NodeRangesController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    ranges: Option<NodeRanges>,
    memory: Mutex<Memory>,
}

impl Controller for NodeRangesController {
    const NAME: &'static str = "cidrAllocator";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        if context.config.node_ranges.is_some() {
            let wake = queue.clone();
            context.caches.nodes.on_change(move |change| {
                let parts = |node: &Arc<Node>| parts(node).to_vec();
                if change.old.map(parts) != change.new.map(parts) {
                    wake.add(());
                }
            });
        }
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            ranges: context.config.node_ranges.clone(),
            memory: Mutex::default(),
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let Some(ranges) = &self.ranges else { return Ok(Next::OnChange) };
        let Plan { give, lacking } = plan(ranges, &self.caches.nodes.all(), &mut self.memory.lock());
        for node in lacking {
            warn!(node = node.name_any(), "no part of the cluster's Pod range is left");
            self.tell(&node, "CIDRNotAvailable");
        }
        for (node, parts) in give {
            let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
            self.give(&node, &parts).await.inspect_err(|_| self.tell(&node, "CIDRAssignmentFailed"))?;
        }
        Ok(Next::OnChange)
    }
}

impl NodeRangesController {
    fn tell(&self, node: &Node, reason: &'static str) {
        let message = format!("Node {} status is now: {reason}", node.name_any());
        let severity = Severity::Warning;
        self.recorder.event(reference(node), Notice { component: Self::NAME, severity, reason, message });
    }

    async fn give(&self, node: &Node, parts: &[String]) -> Result<(), ReconcileError> {
        let patch = json!({
            "metadata": { "uid": node.uid() },
            "spec": { "podCIDR": parts.first(), "podCIDRs": parts },
        });
        let api = Api::<Node>::all(self.client.clone());
        match api.patch(&node.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(written) => {
                info!(node = node.name_any(), ?parts, "a node got its Pod addresses");
                self.caches.nodes.note(written);
                Ok(())
            }
            // It is gone, and maybe another has its name: there will be an event.
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error).step("giving a node its Pod addresses"),
        }
    }
}
