//! `wasi:keyvalue`: buckets that containers share, in memory until their Pod is gone, in a volume, or in the node's Redis.
//!
//! A bucket needs no making: it has what was put into it. What may be kept is limited; what would exceed it is refused and
//! changes nothing, and no more is asked for or answered at a time than that. Numbers that are incremented are kept as decimal text.
//!
//! What both drafts of the interfaces have is here, and what each has otherwise in [`draft`] and [`draft2`]; [`local`] and [`redis`]
//! keep what is put into buckets.

mod draft;
mod draft2;
pub(crate) mod local;
pub(crate) mod redis;

use std::ops::RangeInclusive;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime_wasi::WasiView as _;

use self::local::Local;
use self::redis::Namespace;
use crate::guest::Guest;

/// Where its interfaces are.
pub(crate) const PACKAGE: &str = "wasi:keyvalue/";
/// Keys of one answer.
const PAGE: usize = 1000;
/// What is counted for an entry beside its bytes.
const ENTRY: usize = 128;

/// A key and its value.
type Pair = (String, Vec<u8>);

/// What a container has.
#[derive(Clone, Debug)]
pub(crate) enum Buckets {
    /// In memory, or in a volume.
    Local(Arc<Local>),
    /// In the node's Redis, those of a namespace.
    Redis(Arc<Namespace>),
}

/// What tells a value from those that a key had or may have; nothing where it has none.
type Version = Option<Vec<u8>>;

/// What became of a value that was to replace another.
#[derive(Debug, PartialEq, Eq)]
enum Swap {
    Done,
    /// Another one had replaced it, of this version.
    Stale(Version),
}

/// One that a guest opened.
struct Bucket {
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "every bucket is there, and its Pod's")]
enum Failure {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// Some keys of a bucket.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    keys: Vec<String>,
    /// Where the next are.
    cursor: Option<u64>,
}

impl Failure {
    /// More was put in than may be.
    fn quota(whose: &str, most: usize, wanted: u64) -> Self {
        Self::Other(format!("{whose} may keep {most} bytes, and {wanted} were wanted"))
    }

    /// More was asked for than is answered.
    fn answer(most: usize, found: u64) -> Self {
        Self::Other(format!("the values are of {found} bytes, and {most} are answered at one time"))
    }

    fn no_number(key: &str) -> Self {
        Self::Other(format!("the value of {key:?} is no number"))
    }

    fn overflow(key: &str) -> Self {
        Self::Other(format!("the value of {key:?} would be too large"))
    }
}

impl Buckets {
    /// The values of those of these keys that have one, in their order.
    async fn get(&self, bucket: &Arc<str>, keys: Vec<String>) -> Result<Vec<Option<Pair>>, Failure> {
        match self {
            Self::Local(local) => local.get(bucket, keys),
            Self::Redis(namespace) => namespace.get(bucket, keys).await,
        }
    }

    async fn exists(&self, bucket: Arc<str>, key: String) -> Result<bool, Failure> {
        match self {
            Self::Local(local) => Ok(local.exists(&(bucket, key))),
            Self::Redis(namespace) => namespace.exists(&bucket, &key).await,
        }
    }

    /// Answers when all of them last as long as they can.
    async fn set(&self, bucket: &Arc<str>, pairs: Vec<Pair>) -> Result<(), Failure> {
        match self {
            Self::Local(local) => local.set(bucket, pairs).await,
            Self::Redis(namespace) => namespace.set(bucket, &pairs).await,
        }
    }

    async fn delete(&self, bucket: &Arc<str>, keys: Vec<String>) -> Result<(), Failure> {
        match self {
            Self::Local(local) => local.delete(bucket, keys).await,
            Self::Redis(namespace) => namespace.delete(bucket, &keys).await,
        }
    }

    /// Numbers are of this range, before and after.
    async fn increment(
        &self,
        bucket: Arc<str>,
        key: String,
        delta: i128,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        match self {
            Self::Local(local) => local.increment((bucket, key), delta, range).await,
            Self::Redis(namespace) => namespace.increment(&bucket, &key, delta, range).await,
        }
    }

    /// The value of a key, and its version.
    async fn read(&self, bucket: Arc<str>, key: String) -> Result<(Option<Vec<u8>>, Version), Failure> {
        match self {
            Self::Local(local) => Ok(local.read(&(bucket, key))),
            Self::Redis(namespace) => namespace.read(&bucket, &key).await,
        }
    }

    /// Sets a value if the key still has that of this version.
    async fn swap(
        &self,
        bucket: Arc<str>,
        key: String,
        seen: Version,
        value: Vec<u8>,
    ) -> Result<Swap, Failure> {
        match self {
            Self::Local(local) => local.swap((bucket, key), &seen, value).await,
            Self::Redis(namespace) => namespace.swap(&bucket, &key, seen, value).await,
        }
    }

    async fn keys(&self, bucket: &Arc<str>, cursor: Option<u64>) -> Result<Keys, Failure> {
        match self {
            Self::Local(local) => Ok(local.keys(bucket, cursor)),
            Self::Redis(namespace) => namespace.keys(bucket, cursor).await,
        }
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    draft::link(linker)?;
    draft2::link(linker)
}

/// Buckets, but for the listing of their keys, which every draft has otherwise.
fn link_store<'a>(
    linker: &'a mut Linker<Guest>,
    interface: &str,
) -> wasmtime::Result<LinkerInstance<'a, Guest>> {
    let mut store = linker.instance(interface)?;
    store.resource("bucket", ResourceType::host::<Bucket>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Bucket>::new_own(rep))?;
        Ok(())
    })?;
    store.func_wrap("open", |mut store: StoreContextMut<'_, Guest>, (name,): (String,)| {
        let bucket = store.data_mut().ctx().table.push(Bucket { name: name.into() })?;
        Ok((Ok::<_, Failure>(bucket),))
    })?;
    on_bucket(&mut store, "[method]bucket.get", |buckets, bucket, key| async move {
        let found = buckets.get(&bucket, vec![key]).await;
        found.map(|found| found.into_iter().flatten().next().map(|(_, value)| value))
    })?;
    on_key(&mut store, "[method]bucket.set", |buckets, bucket, key, value| async move {
        buckets.set(&bucket, vec![(key, value)]).await
    })?;
    on_bucket(&mut store, "[method]bucket.delete", |buckets, bucket, key| async move {
        buckets.delete(&bucket, vec![key]).await
    })?;
    on_bucket(&mut store, "[method]bucket.exists", |buckets, bucket, key| async move {
        buckets.exists(bucket, key).await
    })?;
    Ok(store)
}

/// Several keys at one time, but for reading them, which every draft has otherwise.
fn link_batch<'a>(
    linker: &'a mut Linker<Guest>,
    interface: &str,
) -> wasmtime::Result<LinkerInstance<'a, Guest>> {
    let mut batch = linker.instance(interface)?;
    on_bucket(
        &mut batch,
        "set-many",
        |buckets, bucket, pairs| async move { buckets.set(&bucket, pairs).await },
    )?;
    on_bucket(&mut batch, "delete-many", |buckets, bucket, keys| async move {
        buckets.delete(&bucket, keys).await
    })?;
    Ok(batch)
}

/// What a guest means by a bucket it opened.
fn opened(
    store: &mut StoreContextMut<'_, Guest>,
    bucket: &Resource<Bucket>,
) -> wasmtime::Result<(Buckets, Arc<str>)> {
    let guest = store.data_mut();
    let name = Arc::clone(&guest.ctx().table.get(bucket)?.name);
    Ok((guest.environment.keyvalue.clone(), name))
}

/// Lets guests call what takes a bucket that they opened and one thing more.
fn on_bucket<A, T, F>(
    instance: &mut LinkerInstance<'_, Guest>,
    name: &str,
    call: impl Fn(Buckets, Arc<str>, A) -> F + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    (Resource<Bucket>, A): ComponentNamedList + Lift + 'static,
    A: Send,
    T: Lower + Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send,
{
    instance.func_wrap_async(
        name,
        move |mut store: StoreContextMut<'_, Guest>, (bucket, argument): (Resource<Bucket>, A)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                Ok((call(buckets, bucket, argument).await,))
            })
        },
    )
}

/// The same of what takes a bucket, a key and one thing more.
fn on_key<A, T, F>(
    instance: &mut LinkerInstance<'_, Guest>,
    name: &str,
    call: impl Fn(Buckets, Arc<str>, String, A) -> F + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    (Resource<Bucket>, String, A): ComponentNamedList + Lift + 'static,
    A: Send,
    T: Lower + Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send,
{
    instance.func_wrap_async(
        name,
        move |mut store: StoreContextMut<'_, Guest>,
              (bucket, key, argument): (Resource<Bucket>, String, A)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                Ok((call(buckets, bucket, key, argument).await,))
            })
        },
    )
}
