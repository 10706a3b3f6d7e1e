//! `wasi:keyvalue@0.2.0-draft`: keys are listed from a number on, and numbers grow only.

use wasmtime::component::{ComponentType, Linker, Lower};

use super::{Failure, on_bucket, on_key};
use crate::guest::Guest;

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";

#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    /// Where the next are.
    cursor: Option<u64>,
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut store = super::link_store(linker, STORE)?;
    on_bucket(&mut store, "[method]bucket.list-keys", |buckets, bucket, cursor| async move {
        let found = buckets.keys(&bucket, cursor).await?;
        Ok(KeyResponse { keys: found.keys, cursor: found.cursor })
    })?;
    let mut batch = super::link_batch(linker, BATCH)?;
    on_bucket(
        &mut batch,
        "get-many",
        |buckets, bucket, keys| async move { buckets.get(&bucket, keys).await },
    )?;
    on_key(&mut linker.instance(ATOMICS)?, "increment", |buckets, bucket, key, delta: u64| async move {
        let told = format!("{key:?}");
        let range = 0..=i128::from(u64::MAX);
        let sum = buckets.increment(bucket, key, delta.into(), range).await?;
        u64::try_from(sum).map_err(|_| Failure::Other(format!("the value of {told} is out of range")))
    })
}
