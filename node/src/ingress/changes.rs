//! What is followed: Ingresses with all that they lead to, and objects of the Gateway API while their kinds are defined.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, SelectAll, Stream};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use rustls::crypto::CryptoProvider;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gateway::{Definition, Kind};
use super::world::World;
use crate::context::chain;
use crate::watches::follow;

/// Something that happened.
pub(super) enum Change {
    Ingress(Box<Event<Ingress>>),
    Class(Box<Event<IngressClass>>),
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
    Secret(Box<Event<Secret>>),
    Namespace(Box<Event<Namespace>>),
    Definition(Box<Event<Definition>>),
    /// Definitions cannot be read.
    Undefined(watcher::Error),
    Gateway(Kind, Result<Box<Event<DynamicObject>>, watcher::Error>),
    Failed(watcher::Error),
}

/// All that happens.
pub(super) struct Changes {
    client: Client,
    provider: CryptoProvider,
    streams: SelectAll<BoxStream<'static, Change>>,
    /// The kinds of the Gateway API that are followed.
    kinds: BTreeMap<Kind, DropGuard>,
}

impl Changes {
    pub(super) fn new(client: Client, gateways: bool) -> Self {
        let tls = watcher::Config::default().fields("type=kubernetes.io/tls");
        let mut streams = SelectAll::new();
        streams.push(follow(&client, watcher::Config::default(), Change::Ingress, Change::Failed));
        streams.push(follow(&client, watcher::Config::default(), Change::Class, Change::Failed));
        streams.push(follow(&client, watcher::Config::default(), Change::Service, Change::Failed));
        streams.push(follow(&client, watcher::Config::default(), Change::Slice, Change::Failed));
        streams.push(follow(&client, tls, Change::Secret, Change::Failed));
        if gateways {
            let all = watcher::Config::default();
            streams.push(follow(&client, all, Change::Definition, Change::Undefined));
            streams.push(follow(&client, watcher::Config::default(), Change::Namespace, Change::Failed));
        }
        let provider = rustls::crypto::ring::default_provider();
        Self { client, provider, streams, kinds: BTreeMap::new() }
    }

    /// Writes down what happened.
    pub(super) fn record(&mut self, world: &mut World, change: Change) {
        match change {
            Change::Ingress(event) => world.record_ingress(&event),
            Change::Class(event) => world.record_class(&event),
            Change::Service(event) => world.record_service(&event),
            Change::Slice(event) => world.record_slice(&event),
            Change::Secret(event) => world.record_secret(&event, &self.provider),
            Change::Namespace(event) => world.record_namespace(&event),
            Change::Gateway(kind, Ok(event)) => world.record_gateway(kind, &event),
            Change::Gateway(kind, Err(error)) => {
                world.gateways.is_not_read(kind);
                interrupted(&error);
            }
            Change::Definition(event) => {
                world.gateways.record_definition(&event);
                self.follow_defined(world);
            }
            Change::Undefined(error) => {
                world.gateways.definitions_are_not_read();
                interrupted(&error);
            }
            Change::Failed(error) => interrupted(&error),
        }
    }

    /// Follows the kinds that are defined, and no others.
    fn follow_defined(&mut self, world: &mut World) {
        for kind in Kind::ALL {
            match (world.gateways.is_defined(kind), self.kinds.contains_key(&kind)) {
                (true, false) => {
                    let stop = CancellationToken::new();
                    self.streams.push(follow_kind(&self.client, kind, stop.clone()));
                    self.kinds.insert(kind, stop.drop_guard());
                }
                (false, true) => {
                    self.kinds.remove(&kind);
                    world.forget(kind);
                }
                (true, true) | (false, false) => {}
            }
        }
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.streams.poll_next_unpin(cx)
    }
}

fn interrupted(error: &watcher::Error) {
    tracing::warn!(error = %chain(error), "a watch of the Ingress controller was interrupted");
}

fn follow_kind(client: &Client, kind: Kind, stop: CancellationToken) -> BoxStream<'static, Change> {
    let resource = kind.resource();
    let all = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let events = watcher(all, watcher::Config::default()).default_backoff();
    let changes = events.map(move |event| Change::Gateway(kind, event.map(Box::new)));
    changes.take_until(stop.cancelled_owned().boxed()).boxed()
}
