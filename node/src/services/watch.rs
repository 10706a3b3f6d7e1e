//! The loop: waits for changes, plans, applies.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::dataplane::Dataplane;
use super::world::World;
use crate::dns::Feed;

/// How long after a failure the data plane is set up anew.
const RETRY: Duration = Duration::from_secs(1);

enum Change {
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
    Failed(watcher::Error),
}

/// Keeps the data plane and the names as the API server's objects want them, until `shutdown`.
pub(super) async fn serve(
    client: Client,
    node: &str,
    mut dataplane: Dataplane,
    mut names: Feed,
    shutdown: CancellationToken,
) {
    let mut changes = changes(client);
    let mut world = World::default();
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(RETRY), if dataplane.wants_retry() => {}
            Some(change) = changes.next() => batch.push(change),
        }
        while let Some(Some(change)) = changes.next().now_or_never() {
            batch.push(change);
        }
        for change in &batch {
            record(&mut world, change);
        }
        if world.complete() {
            dataplane.apply(world.take_changes(node)).await;
        }
        // Whoever finds a name finds its address served.
        for change in &batch {
            tell(&mut names, change);
        }
    }
    dataplane.close().await;
}

fn changes(client: Client) -> BoxStream<'static, Change> {
    let services = watcher(Api::<Service>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .map(|item| item.map_or_else(Change::Failed, |event| Change::Service(Box::new(event))));
    let slices = watcher(Api::<EndpointSlice>::all(client), watcher::Config::default())
        .default_backoff()
        .map(|item| item.map_or_else(Change::Failed, |event| Change::Slice(Box::new(event))));
    futures::stream::select(services, slices).boxed()
}

fn record(world: &mut World, change: &Change) {
    match change {
        Change::Service(event) => world.record_service(event),
        Change::Slice(event) => world.record_slice(event),
        Change::Failed(error) => {
            tracing::warn!(error = error as &dyn std::error::Error, "the watch on Services was interrupted");
        }
    }
}

fn tell(names: &mut Feed, change: &Change) {
    match change {
        Change::Service(event) => names.record_service(event),
        Change::Slice(event) => names.record_slice(event),
        Change::Failed(_) => {}
    }
}
