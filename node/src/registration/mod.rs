//! The Node object of this node: made, kept true, and renewed.
//!
//! # Flow
//! [`Registration::register`] makes the object or brings an existing one up to date; [`Registration::run`] then renews
//! the Lease every 10 seconds and writes the status when it differs, or every 5 minutes. A node that could not do so for a while may
//! have been counted as lost, so it looks at the object again.
//!
//! # Guarantees
//! Labels, annotations, taints and conditions others gave the Node stay.

mod lease;
mod machine;
mod object;
mod range;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerImage, Node, NodeStatus};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::{Context, chain};
use crate::eviction::Pressure;
use crate::images::NamedImage;
pub(crate) use machine::{Machine, meminfo};
pub(crate) use object::Facts;
use object::{Health, OfNode};
pub use range::{RangeError, pod_range};

const LEASE_PERIOD: Duration = Duration::from_secs(10);
const STATUS_PERIOD: Duration = Duration::from_mins(5);
/// Less than the control plane waits before it counts a node as lost.
const AWAY: Duration = Duration::from_secs(25);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(7);

/// Keeps the Node object.
pub(crate) struct Registration {
    client: Client,
    ctx: Arc<Context>,
    facts: Facts,
    pressure: watch::Receiver<Pressure>,
    in_use: watch::Receiver<BTreeSet<String>>,
    devices: watch::Receiver<u64>,
    network_trouble: watch::Receiver<Option<String>>,
    node: Option<Node>,
    written: Option<(NodeStatus, Timestamp)>,
    /// When the API server last took what it was told.
    heard: Option<Timestamp>,
}

impl Registration {
    /// A node that is not registered yet.
    pub(crate) fn new(ctx: Arc<Context>, facts: Facts, pressure: watch::Receiver<Pressure>) -> Self {
        let (in_use, devices) = (ctx.csi.in_use().follow(), ctx.devices.follow());
        let network_trouble = ctx.network.trouble();
        let client = ctx.client.clone();
        let (node, written, heard) = (None, None, None);
        Self { client, ctx, facts, pressure, in_use, devices, network_trouble, node, written, heard }
    }

    /// Registers the node, however often it takes, unless `shutdown` comes first; whether it is registered.
    pub(crate) async fn register(&mut self, shutdown: &CancellationToken) -> bool {
        let mut delay = FIRST_RETRY;
        while let Err(error) = self.try_register().await {
            warn!(error = %chain(&error), "cannot register the node yet");
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_RETRY),
            }
        }
        info!(node = %self.facts.name, "node registered");
        true
    }

    async fn try_register(&mut self) -> Result<(), kube::Error> {
        let api: Api<Node> = Api::all(self.client.clone());
        let now = self.ctx.clock.now();
        let node = if let Some(node) = api.get_opt(&self.facts.name).await? {
            self.adopt(&api, node).await?
        } else {
            let status = self.status(None, now);
            api.create(&PostParams::default(), &self.facts.node(status)).await?
        };
        // The status of a created object may have been dropped; of one that was there it is old.
        let before = node.status.clone();
        self.node = Some(node);
        let status = self.status(before.as_ref(), now);
        if before.is_some_and(|before| object::same(&before, &status)) {
            self.written = Some((status, now));
        } else {
            self.write_status(status, now).await?;
        }
        lease::renew(&self.client, &self.facts.name, self.uid(), now).await?;
        self.heard = Some(now);
        Ok(())
    }

    /// Gives a Node that is there our labels, annotations and pod addresses.
    async fn adopt(&self, api: &Api<Node>, node: Node) -> Result<Node, kube::Error> {
        let has_all = |has: Option<&BTreeMap<String, String>>, wanted: BTreeMap<String, String>| {
            wanted.iter().all(|(name, value)| has.and_then(|has| has.get(name)) == Some(value))
        };
        let labelled = has_all(node.metadata.labels.as_ref(), self.facts.labels())
            && has_all(node.metadata.annotations.as_ref(), self.facts.annotations());
        let ranges = node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_ref());
        if labelled && ranges == Some(&self.facts.pod_cidrs) {
            return Ok(node);
        }
        let patch = json!({
            "metadata": { "labels": self.facts.labels(), "annotations": self.facts.annotations() },
            "spec": { "podCIDR": self.facts.pod_cidrs.first(), "podCIDRs": self.facts.pod_cidrs },
        });
        api.patch(&self.facts.name, &PatchParams::default(), &Patch::Merge(&patch)).await
    }

    fn uid(&self) -> &str {
        self.node.as_ref().and_then(|node| node.metadata.uid.as_deref()).unwrap_or_default()
    }

    fn status(&self, before: Option<&NodeStatus>, now: Timestamp) -> NodeStatus {
        let image = |named: NamedImage| ContainerImage {
            names: Some(named.names.into_iter().collect()),
            size_bytes: i64::try_from(named.image.size).ok(),
        };
        let of_node = OfNode {
            images: self.ctx.images.all().into_iter().map(image).collect(),
            volumes_in_use: self.in_use.borrow().clone(),
            devices: self.ctx.devices.counts(),
        };
        let health = Health {
            pressure: *self.pressure.borrow(),
            is_shutting_down: *self.ctx.admission.closed().borrow(),
            network_trouble: self.network_trouble.borrow().clone(),
        };
        self.facts.status(health, of_node, before, now)
    }

    async fn write_status(&mut self, status: NodeStatus, now: Timestamp) -> Result<(), kube::Error> {
        self.report_pressure(&status);
        let api: Api<Node> = Api::all(self.client.clone());
        let mut patch = json!({ "status": status });
        // A merge would take addresses of one type, as nodes of both families have, for one and the same.
        if let Some(addresses) = patch["status"]["addresses"].as_array_mut() {
            addresses.push(json!({ "$patch": "replace" }));
        }
        api.patch_status(&self.facts.name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        self.ctx.csi.in_use().tell(status.volumes_in_use.iter().flatten().cloned().collect());
        self.written = Some((status, now));
        Ok(())
    }

    /// Says in the log what became short: Pods are not placed here until it is over.
    fn report_pressure(&self, status: &NodeStatus) {
        let short = |status: &NodeStatus| -> Vec<String> {
            let conditions = status.conditions.iter().flatten();
            let short = conditions.filter(|c| c.type_.ends_with("Pressure") && c.status == "True");
            short.map(|c| c.type_.clone()).collect()
        };
        let now = short(status);
        if self.written.as_ref().map_or(vec![], |(before, _)| short(before)) != now {
            warn!(short = ?now, "the node's pressure changed");
        }
    }

    /// Renews the Lease and keeps the status true, until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut closed = self.ctx.admission.closed();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LEASE_PERIOD) => {}
                Ok(()) = closed.changed() => {}
                // Nobody is to be placed here a moment longer; without whoever tells, everything is ending.
                Ok(()) = self.pressure.changed() => {}
                // Somebody waits until it is told.
                Ok(()) = self.in_use.changed() => {}
                Ok(()) = self.devices.changed() => {}
                Ok(()) = self.network_trouble.changed() => {}
            }
            // Behind a partition nothing fails and nothing ends. What was asked then is asked again by another connection: the kernel
            // would wait long before it tries the old one.
            match tokio::time::timeout(LEASE_PERIOD, self.beat()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(error = %chain(&error), "cannot renew the node"),
                Err(_) => warn!("cannot renew the node: the API server does not answer"),
            }
        }
    }

    async fn beat(&mut self) -> Result<(), kube::Error> {
        let now = self.ctx.clock.now();
        if self.heard.is_none_or(|heard| now.duration_since(heard).unsigned_abs() > AWAY) {
            return self.try_register().await;
        }
        lease::renew(&self.client, &self.facts.name, self.uid(), now).await?;
        self.heard = Some(now);
        let before = self.written.as_ref();
        let status = self.status(before.map(|(status, _)| status), now);
        let is_due = before.is_none_or(|(written, at)| {
            now.duration_since(*at).unsigned_abs() >= STATUS_PERIOD || !object::same(written, &status)
        });
        if !is_due {
            return Ok(());
        }
        match self.write_status(status, now).await {
            // Somebody deleted the Node while it runs.
            Err(kube::Error::Api(answer)) if answer.code == 404 => self.try_register().await,
            other => other,
        }
    }
}
