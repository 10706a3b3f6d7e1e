//! `wasi:keyvalue@0.2.0-draft2`: keys are listed from a text on, numbers grow and shrink, and a value may be replaced if it is still
//! what it was (compare and swap).
//!
//! What a guest holds to compare with is a value's version and not the value, which would not count to its memory. Who looks at the
//! value in the meantime compares with that one from then on.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use super::{Bucket, Buckets, Failure, Swap, Version, on_bucket, on_key, opened};
use crate::guest::Guest;

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft2";

#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    /// Where the next are.
    cursor: Option<String>,
}

/// A value to compare with.
#[derive(Clone)]
struct Cas {
    bucket: Arc<str>,
    key: String,
    seen: Version,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Failure),
    /// With what is there now.
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut store = super::link_store(linker, STORE)?;
    on_bucket(
        &mut store,
        "[method]bucket.list-keys",
        |buckets, bucket, cursor: Option<String>| async move {
            let found = buckets.keys(&bucket, cursor.as_deref().map(place).transpose()?).await?;
            Ok(KeyResponse { keys: found.keys, cursor: found.cursor.map(|cursor| cursor.to_string()) })
        },
    )?;
    let mut batch = super::link_batch(linker, BATCH)?;
    on_bucket(&mut batch, "get-many", |buckets, bucket, keys: Vec<String>| async move {
        let found = buckets.get(&bucket, keys.clone()).await?;
        let values = found.into_iter().map(|pair| pair.map(|(_, value)| value));
        Ok(keys.into_iter().zip(values).collect::<Vec<_>>())
    })?;
    link_atomics(&mut linker.instance(ATOMICS)?)
}

/// Where a listing goes on: a number, as it was answered.
fn place(cursor: &str) -> Result<u64, Failure> {
    cursor.parse().map_err(|_| Failure::Other(format!("the cursor {cursor:?} was not answered by list-keys")))
}

fn link_atomics(atomics: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    on_key(atomics, "increment", |buckets, bucket, key, delta: i64| async move {
        let told = format!("{key:?}");
        let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
        let sum = buckets.increment(bucket, key, delta.into(), range).await?;
        i64::try_from(sum).map_err(|_| Failure::Other(format!("the value of {told} is out of range")))
    })?;
    atomics.resource("cas", ResourceType::host::<Cas>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Cas>::new_own(rep))?;
        Ok(())
    })?;
    atomics.func_wrap_async(
        "[static]cas.new",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                match buckets.read(Arc::clone(&bucket), key.clone()).await {
                    Ok((_, seen)) => {
                        let cas = store.data_mut().ctx().table.push(Cas { bucket, key, seen })?;
                        Ok((Ok(cas),))
                    }
                    Err(failure) => Ok((Err::<Resource<Cas>, _>(failure),)),
                }
            })
        },
    )?;
    atomics.func_wrap_async(
        "[method]cas.current",
        |mut store: StoreContextMut<'_, Guest>, (handle,): (Resource<Cas>,)| {
            Box::new(async move {
                let (buckets, cas) = found(&mut store, &handle)?;
                match buckets.read(cas.bucket, cas.key).await {
                    Ok((value, seen)) => {
                        store.data_mut().ctx().table.get_mut(&handle)?.seen = seen;
                        Ok((Ok(value),))
                    }
                    Err(failure) => Ok((Err::<Option<Vec<u8>>, _>(failure),)),
                }
            })
        },
    )?;
    atomics.func_wrap_async(
        "swap",
        |mut store: StoreContextMut<'_, Guest>, (handle, value): (Resource<Cas>, Vec<u8>)| {
            Box::new(async move {
                let buckets = store.data_mut().environment.keyvalue.clone();
                let cas = store.data_mut().ctx().table.delete(handle)?;
                let swapped = buckets.swap(Arc::clone(&cas.bucket), cas.key.clone(), cas.seen, value).await;
                Ok((match swapped {
                    Ok(Swap::Done) => Ok(()),
                    Ok(Swap::Stale(seen)) => {
                        let now = Cas { bucket: cas.bucket, key: cas.key, seen };
                        Err(CasError::Failed(store.data_mut().ctx().table.push(now)?))
                    }
                    Err(failure) => Err(CasError::Store(failure)),
                },))
            })
        },
    )
}

/// What a guest means by what it compares with.
fn found(store: &mut StoreContextMut<'_, Guest>, cas: &Resource<Cas>) -> wasmtime::Result<(Buckets, Cas)> {
    let guest = store.data_mut();
    let cas = guest.ctx().table.get(cas)?.clone();
    Ok((guest.environment.keyvalue.clone(), cas))
}
