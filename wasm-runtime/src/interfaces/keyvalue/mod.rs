//! `wasi:keyvalue`: buckets that containers share, in memory until their Pod is gone, in a volume, or in the node's Redis.
//!
//! A bucket needs no making: it has what was put into it. What may be kept is limited; what would exceed it is refused and
//! changes nothing, and no more is asked for or answered at a time than that. Numbers that are incremented are kept as decimal text.
//!
//! The interfaces are here; [`local`] and [`redis`] keep what is put into buckets.

pub(crate) mod local;
pub(crate) mod redis;

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
const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";
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

#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
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

    async fn increment(&self, bucket: Arc<str>, key: String, delta: u64) -> Result<u64, Failure> {
        match self {
            Self::Local(local) => local.increment((bucket, key), delta).await,
            Self::Redis(namespace) => namespace.increment(&bucket, &key, delta).await,
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
    link_store(linker)?;
    link_batch(linker)?;
    linker.instance(ATOMICS)?.func_wrap_async(
        "increment",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, delta): (Resource<Bucket>, String, u64)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                Ok((buckets.increment(bucket, key, delta).await,))
            })
        },
    )
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

fn link_store(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut store = linker.instance(STORE)?;
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
    store.func_wrap_async(
        "[method]bucket.set",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                Ok((buckets.set(&bucket, vec![(key, value)]).await,))
            })
        },
    )?;
    on_bucket(&mut store, "[method]bucket.delete", |buckets, bucket, key| async move {
        buckets.delete(&bucket, vec![key]).await
    })?;
    on_bucket(&mut store, "[method]bucket.exists", |buckets, bucket, key| async move {
        buckets.exists(bucket, key).await
    })?;
    on_bucket(&mut store, "[method]bucket.list-keys", |buckets, bucket, cursor| async move {
        buckets.keys(&bucket, cursor).await
    })
}

fn link_batch(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut batch = linker.instance(BATCH)?;
    on_bucket(
        &mut batch,
        "get-many",
        |buckets, bucket, keys| async move { buckets.get(&bucket, keys).await },
    )?;
    on_bucket(
        &mut batch,
        "set-many",
        |buckets, bucket, pairs| async move { buckets.set(&bucket, pairs).await },
    )?;
    on_bucket(&mut batch, "delete-many", |buckets, bucket, keys| async move {
        buckets.delete(&bucket, keys).await
    })
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
