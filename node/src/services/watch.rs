//! The loop: waits for changes, plans, applies.

use std::time::Duration;

use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dataplane::Dataplane;
use super::health::HealthChecks;
use super::leads::Leads;
use super::sync_times::SyncTimes;
use super::world::World;
use crate::dns::Feed;
use crate::watches::follow;

/// How long after a failure the data plane is set up anew.
const RETRY: Duration = Duration::from_secs(1);

enum Change {
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
    /// Of this node.
    Node(Box<Event<Node>>),
    Failed(watcher::Error),
}

/// What is told of the Services.
pub(super) struct Told {
    pub(super) dataplane: Dataplane,
    pub(super) health: HealthChecks,
    pub(super) names: Feed,
    pub(super) syncs: SyncTimes,
    pub(super) leads: Leads,
}

/// Keeps the data plane, the health checks and the names as the API server's objects want them, until `shutdown`.
pub(super) async fn serve(client: Client, node: &str, told: Told, shutdown: CancellationToken) {
    let Told { mut dataplane, mut health, mut names, syncs, leads } = told;
    let mut changes = changes(&client, node);
    let mut world = World::new(node);
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(RETRY), if dataplane.wants_retry() || health.wants_retry() => {}
            Some(change) = changes.next() => batch.push(change),
        }
        while let Some(Some(change)) = changes.next().now_or_never() {
            batch.push(change);
        }
        for change in &batch {
            record(&mut world, change);
        }
        if world.complete() {
            let began = Instant::now();
            let changes = world.take_changes();
            leads.apply(&changes.ports);
            dataplane.apply(changes.ports).await;
            syncs.note(began.elapsed());
            health.apply(changes.health).await;
        }
        // Whoever finds a name finds its address served.
        for change in &batch {
            tell(&mut names, change);
        }
    }
    dataplane.close().await;
    health.close().await;
}

fn changes(client: &Client, node: &str) -> BoxStream<'static, Change> {
    let all = watcher::Config::default;
    let own = all().fields(&format!("metadata.name={node}"));
    select_all([
        follow(client, all(), Change::Service, Change::Failed),
        follow(client, all(), Change::Slice, Change::Failed),
        follow(client, own, Change::Node, Change::Failed),
    ])
    .boxed()
}

fn record(world: &mut World, change: &Change) {
    match change {
        Change::Service(event) => world.record_service(event),
        Change::Slice(event) => world.record_slice(event),
        Change::Node(event) => world.record_node(event),
        Change::Failed(error) => {
            tracing::warn!(error = error as &dyn std::error::Error, "the watch on Services was interrupted");
        }
    }
}

fn tell(names: &mut Feed, change: &Change) {
    match change {
        Change::Service(event) => names.record_service(event),
        Change::Slice(event) => names.record_slice(event),
        Change::Node(_) | Change::Failed(_) => {}
    }
}
