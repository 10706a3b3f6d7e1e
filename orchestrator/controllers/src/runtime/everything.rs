//! The metadata of all objects of all kinds, for those who deal with objects of any kind.
//!
//! Flow: kinds that have a cache of their own are heard from there; after discovery every other kind that can be
//! listed and watched gets a metadata-only watch. Listeners hear of each change, whatever its kind.
//!
//! Kinds that appear later are discovered when a definition or an APIService changes, and by [`Everything::refresh`].
//!
//! Caveats: Events are left out: nothing owns them and there are many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::discovery::verbs;
use kube::{Api, Client, Resource};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, SetOnce};
use tokio::task::JoinSet;
use tracing::warn;

use super::backoff::{Backoff, Jitter};
use super::cache::Cache;
pub(crate) use super::discover::Kind;
use super::discover::{Found, discover};
use super::life::Life;
use super::watch::{Event, follow};

const RETRY: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(10) };

/// How long to wait for the first list of a kind.
const LISTING: Duration = Duration::from_secs(10);

type Meta = PartialObjectMeta<DynamicObject>;
type Listener = (Life, Box<dyn Fn(&Seen<'_>) + Send + Sync>);
/// Tells of every object of one kind.
type Source = Box<dyn Fn(&dyn Fn(&Seen<'_>)) + Send + Sync>;

impl Kind {
    /// Whether the API offers this verb for the kind.
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|offered| offered == verb)
    }

    /// The client for the objects of this kind in a namespace, or for those that have none.
    pub(crate) fn api(&self, client: Client, namespace: &str) -> Api<DynamicObject> {
        if self.namespaced {
            Api::namespaced_with(client, namespace, &self.resource)
        } else {
            Api::all_with(client, &self.resource)
        }
    }
}

/// One change of one object.
pub(crate) struct Seen<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) is_gone: bool,
}

/// See the module's documentation.
pub(crate) struct Everything {
    client: Client,
    jitter: Arc<Jitter>,
    life: Life,
    listeners: RwLock<Vec<Listener>>,
    sources: RwLock<Vec<Source>>,
    kinds: RwLock<BTreeMap<(String, String), Kind>>,
    /// The groups and versions whose kinds could not be told when they were asked for last.
    stale: RwLock<Vec<String>>,
    /// The kinds that are heard of, by API version and kind.
    heard: Mutex<Vec<(String, String)>>,
    watches: Mutex<JoinSet<()>>,
    ready: SetOnce<()>,
    /// Told when what is served changes.
    defined: Notify,
}

impl Everything {
    pub(crate) fn new(client: Client, jitter: Arc<Jitter>, life: Life) -> Self {
        Self {
            client,
            jitter,
            life,
            listeners: RwLock::default(),
            sources: RwLock::default(),
            kinds: RwLock::default(),
            stale: RwLock::default(),
            heard: Mutex::default(),
            watches: Mutex::default(),
            ready: SetOnce::new(),
            defined: Notify::new(),
        }
    }

    /// Calls `listener` for every object there is, and after every later change, as long as `life` lasts.
    pub(crate) fn on_change(&self, life: &Life, listener: impl Fn(&Seen<'_>) + Send + Sync + 'static) {
        let mut listeners = self.listeners.write();
        listeners.retain(|(life, _)| !life.is_over());
        for source in self.sources.read().iter() {
            source(&|seen| life.call(|| listener(seen)));
        }
        listeners.push((life.clone(), Box::new(listener)));
    }

    /// Hears of a kind from its own cache, which must hold all objects of the kind.
    pub(crate) fn hear<K>(self: &Arc<Self>, cache: &Cache<K>)
    where
        K: Resource<DynamicType = ()> + Send + Sync + 'static,
    {
        let (api_version, kind) = (K::api_version(&()).into_owned(), K::kind(&()).into_owned());
        self.heard.lock().push((api_version.clone(), kind.clone()));
        self.listen(cache, api_version, kind);
    }

    /// Passes on what a cache shows, now and later.
    fn listen<K>(self: &Arc<Self>, cache: &Cache<K>, api_version: String, kind: String)
    where
        K: Resource + Send + Sync + 'static,
    {
        let (held, id) = (cache.clone(), (api_version.clone(), kind.clone()));
        self.sources.write().push(Box::new(move |tell| {
            for object in held.all() {
                tell(&Seen { api_version: &id.0, kind: &id.1, meta: object.meta(), is_gone: false });
            }
        }));
        // The sources hold the caches already.
        let all = Arc::downgrade(self);
        cache.on_change(move |change| {
            if let (Some(all), Some(object)) = (all.upgrade(), change.last()) {
                let is_gone = change.new.is_none();
                all.tell(&Seen { api_version: &api_version, kind: &kind, meta: object.meta(), is_gone });
            }
        });
    }

    /// The kind by the words of an owner reference.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<Kind> {
        self.kinds.read().get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    /// The versions of a kind of a group, the preferred one first.
    pub(crate) fn of_group(&self, group: &str, kind: &str) -> Vec<Kind> {
        let kinds = self.kinds.read();
        let of_group =
            kinds.values().filter(|found| found.resource.group == group && found.resource.kind == kind);
        let mut found: Vec<_> = of_group.cloned().collect();
        found.sort_by_key(|kind| !kind.is_preferred);
        found
    }

    /// All kinds whose objects live in namespaces.
    pub(crate) fn namespaced(&self) -> Vec<Kind> {
        let kinds = self.kinds.read();
        let kinds = kinds.values().filter(|kind| kind.namespaced && kind.is_preferred);
        let mut kinds: Vec<_> = kinds.cloned().collect();
        kinds.sort_by_cached_key(|kind| (kind.resource.group.clone(), kind.resource.plural.clone()));
        kinds
    }

    /// The groups and versions whose kinds could not be told when they were asked for last.
    pub(crate) fn stale(&self) -> Vec<String> {
        self.stale.read().clone()
    }

    /// Waits until every kind found by the first discovery has been listed.
    pub(crate) async fn ready(&self) {
        self.ready.wait().await;
    }

    /// Discovers the kinds, watches them, and keeps the watches until shutdown.
    pub(crate) async fn run(self: Arc<Self>) {
        let shutdown = self.life.over().clone();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.keep_up() => {}
        }
        let mut watches = std::mem::take(&mut *self.watches.lock());
        while watches.join_next().await.is_some() {}
    }

    /// Discovers the kinds, and again whenever a definition or another server's part of the API changes.
    async fn keep_up(self: &Arc<Self>) {
        loop {
            let mut failures = 0;
            while let Err(error) = self.refresh().await {
                warn!(error = &error as &dyn std::error::Error, "discovery failed");
                failures += 1;
                tokio::time::sleep(RETRY.delay(failures, &self.jitter)).await;
            }
            // A later list changes nothing of that.
            self.ready.set(()).ok();
            self.defined.notified().await;
        }
    }

    /// Discovers the kinds anew; returns once those not heard of before have been listed.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), kube::Error> {
        let Found { kinds: found, stale } = discover(&self.client).await?;
        *self.stale.write() = stale;
        self.kinds.write().clone_from(&found);
        let mut caches = Vec::new();
        for (id, kind) in found {
            if wants_watch(&kind) && self.claim(&id) {
                caches.push(self.watch(kind));
            }
        }
        for cache in caches {
            // A kind that goes away again is never listed.
            let _ = tokio::time::timeout(LISTING, cache.synced()).await;
        }
        Ok(())
    }

    /// Marks a kind as heard of; returns whether it was not.
    fn claim(&self, id: &(String, String)) -> bool {
        let mut heard = self.heard.lock();
        let is_new = !heard.contains(id);
        if is_new {
            heard.push(id.clone());
        }
        is_new
    }

    fn watch(self: &Arc<Self>, kind: Kind) -> Cache<Meta> {
        let cache = Cache::<Meta>::new(self.life.clone(), trim);
        self.listen(&cache, kind.resource.api_version.clone(), kind.resource.kind.clone());
        let (fed, jitter, shutdown) = (cache.clone(), self.jitter.clone(), self.life.over().clone());
        let api = Api::<Meta>::all_with(self.client.clone(), &kind.resource);
        self.watches.lock().spawn(async move {
            let sink = |event: Event<Meta>| fed.apply(event);
            follow((&kind.resource.kind, &api, None), sink, &jitter, shutdown).await;
        });
        cache
    }

    fn tell(&self, seen: &Seen<'_>) {
        if matches!(seen.kind, "CustomResourceDefinition" | "APIService") {
            self.defined.notify_one();
        }
        for (life, listener) in self.listeners.read().iter() {
            life.call(|| listener(seen));
        }
    }
}

fn wants_watch(kind: &Kind) -> bool {
    let is_event = kind.resource.kind == "Event";
    kind.is_preferred
        && !is_event
        && kind.can(verbs::LIST)
        && kind.can(verbs::WATCH)
        && kind.can(verbs::DELETE)
}

/// Keeps what ownership is about.
fn trim(object: &mut Meta) {
    let meta = object.meta_mut();
    meta.annotations = None;
    meta.labels = None;
}
