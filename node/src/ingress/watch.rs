//! The loop: waits for changes, compiles, exchanges.

use std::sync::Arc;

use futures::stream::{BoxStream, select_all};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::Client;
use kube::runtime::watcher::{self, Event};
use rustls::crypto::CryptoProvider;
use tokio::sync::watch;
use wherry_ingress::{Certificate, Proxy, Site};

use super::compile::compile;
use super::status::{Address, Write, plan};
use super::world::World;
use crate::context::chain;
use crate::watches::follow;

enum Change {
    Ingress(Box<Event<Ingress>>),
    Class(Box<Event<IngressClass>>),
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
    Secret(Box<Event<Secret>>),
    Failed(watcher::Error),
}

/// Keeps what is served as the API's objects want it.
pub(super) struct Keeper {
    pub(super) proxy: Arc<Proxy>,
    pub(super) site: watch::Sender<Arc<Site>>,
    pub(super) writes: watch::Sender<Vec<Write>>,
    pub(super) addresses: Vec<Address>,
    pub(super) certificate: Certificate,
}

impl Keeper {
    /// Never ends; `open` is called when everything has been listed once.
    pub(super) async fn run(self, client: Client, open: impl FnOnce()) {
        let provider = rustls::crypto::ring::default_provider();
        let (mut changes, mut world, mut open) = (changes(&client), World::default(), Some(open));
        while let Some(first) = changes.next().await {
            record(&mut world, first, &provider);
            while let Some(Some(change)) = changes.next().now_or_never() {
                record(&mut world, change, &provider);
            }
            if !world.is_complete() {
                continue;
            }
            if world.take_changed() || open.is_some() {
                let site = Arc::new(compile(&world, &self.certificate));
                self.site.send_replace(site.clone());
                self.proxy.keep(&[&site]);
            }
            if let Some(open) = open.take() {
                open();
            }
            let writes = plan(&world, &self.addresses);
            self.writes.send_if_modified(|known| {
                let differs = *known != writes;
                *known = writes;
                differs
            });
        }
    }
}

fn changes(client: &Client) -> BoxStream<'static, Change> {
    let tls = watcher::Config::default().fields("type=kubernetes.io/tls");
    select_all([
        follow(client, watcher::Config::default(), Change::Ingress, Change::Failed),
        follow(client, watcher::Config::default(), Change::Class, Change::Failed),
        follow(client, watcher::Config::default(), Change::Service, Change::Failed),
        follow(client, watcher::Config::default(), Change::Slice, Change::Failed),
        follow(client, tls, Change::Secret, Change::Failed),
    ])
    .boxed()
}

fn record(world: &mut World, change: Change, provider: &CryptoProvider) {
    match change {
        Change::Ingress(event) => world.record_ingress(&event),
        Change::Class(event) => world.record_class(&event),
        Change::Service(event) => world.record_service(&event),
        Change::Slice(event) => world.record_slice(&event),
        Change::Secret(event) => world.record_secret(&event, provider),
        Change::Failed(error) => {
            tracing::warn!(error = %chain(&error), "a watch of the Ingress controller was interrupted");
        }
    }
}
