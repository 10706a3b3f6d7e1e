//! Watches of all objects of a kind, as parts of one stream of changes.

use std::fmt::Debug;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// What happens to the objects of a kind, from all there are on. A watch that fails begins anew after a while.
pub(crate) fn follow<K, C>(
    client: &Client,
    config: Config,
    happened: fn(Box<Event<K>>) -> C,
    failed: fn(Error) -> C,
) -> BoxStream<'static, C>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    C: 'static,
{
    watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .map(move |item| item.map_or_else(failed, |event| happened(Box::new(event))))
        .boxed()
}
