//! `wasi:keyvalue`: buckets in memory that the containers of a Pod share, until the Pod is gone.
//!
//! A bucket needs no making: it has what was put into it. What a Pod may keep is limited; what would exceed it is refused and
//! changes nothing. Numbers that are incremented are kept as decimal text.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use crate::guest::Guest;

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";
/// Keys of one answer.
const PAGE: usize = 1000;
/// What is counted for an entry beside its bytes.
const ENTRY: usize = 128;

/// The names of bucket and key.
type Name = (Arc<str>, String);
type Answer<T> = wasmtime::Result<(Result<T, Failure>,)>;

/// What a Pod keeps.
#[derive(Debug)]
pub(crate) struct Buckets {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    values: BTreeMap<Name, Vec<u8>>,
    bytes: usize,
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
    /// How many came before the next.
    cursor: Option<u64>,
}

impl Buckets {
    /// Nothing yet, and never more than so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    fn get(&self, name: &Name) -> Option<Vec<u8>> {
        self.kept.lock().values.get(name).cloned()
    }

    fn set(&self, name: Name, value: Vec<u8>) -> Result<(), Failure> {
        self.kept.lock().set(name, value, self.most)
    }

    fn delete(&self, name: &Name) {
        let mut kept = self.kept.lock();
        if let Some(value) = kept.values.remove(name) {
            kept.bytes -= cost(name, &value);
        }
    }

    fn increment(&self, name: Name, delta: u64) -> Result<u64, Failure> {
        let mut kept = self.kept.lock();
        let number = match kept.values.get(&name) {
            None => 0,
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| Failure::Other(format!("the value of {:?} is no number", name.1)))?,
        };
        let overflow = || Failure::Other(format!("the value of {:?} would be too large", name.1));
        let sum = number.checked_add(delta).ok_or_else(overflow)?;
        kept.set(name, sum.to_string().into_bytes(), self.most)?;
        Ok(sum)
    }

    fn keys(&self, bucket: &Arc<str>, cursor: Option<u64>) -> Keys {
        let before = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let from = (Bound::Included((Arc::clone(bucket), String::new())), Bound::Unbounded);
        let kept = self.kept.lock();
        let mut rest = kept.values.range(from).map(|(name, _)| name).take_while(|(of, _)| of == bucket);
        let mut rest = rest.by_ref().skip(before).map(|(_, key)| key.clone());
        let keys: Vec<_> = rest.by_ref().take(PAGE).collect();
        let cursor = rest.next().map(|_| (before + keys.len()) as u64);
        Keys { keys, cursor }
    }
}

impl Kept {
    fn set(&mut self, name: Name, value: Vec<u8>, most: usize) -> Result<(), Failure> {
        let old = self.values.get(&name).map_or(0, |old| cost(&name, old));
        let bytes = (self.bytes - old).saturating_add(cost(&name, &value));
        if bytes > most {
            return Err(Failure::Other(format!("this Pod may keep {most} bytes, and {bytes} were wanted")));
        }
        self.bytes = bytes;
        self.values.insert(name, value);
        Ok(())
    }
}

fn cost((bucket, key): &Name, value: &[u8]) -> usize {
    bucket.len() + key.len() + value.len() + ENTRY
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link_store(linker)?;
    link_batch(linker)?;
    linker.instance(ATOMICS)?.func_wrap(
        "increment",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, delta): (Resource<Bucket>, String, u64)| {
            on(&mut store, &bucket, |buckets, bucket| buckets.increment((bucket, key), delta))
        },
    )
}

/// Answers a guest's question about a bucket it opened.
fn on<T>(
    store: &mut StoreContextMut<'_, Guest>,
    bucket: &Resource<Bucket>,
    answer: impl FnOnce(&Buckets, Arc<str>) -> Result<T, Failure>,
) -> Answer<T> {
    let guest = store.data_mut();
    let name = Arc::clone(&guest.ctx().table.get(bucket)?.name);
    Ok((answer(&guest.keyvalue, name),))
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
    store.func_wrap(
        "[method]bucket.get",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            on(&mut store, &bucket, |buckets, bucket| Ok(buckets.get(&(bucket, key))))
        },
    )?;
    store.func_wrap(
        "[method]bucket.set",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| {
            on(&mut store, &bucket, |buckets, bucket| buckets.set((bucket, key), value))
        },
    )?;
    store.func_wrap(
        "[method]bucket.delete",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            on(&mut store, &bucket, |buckets, bucket| {
                buckets.delete(&(bucket, key));
                Ok(())
            })
        },
    )?;
    store.func_wrap(
        "[method]bucket.exists",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            on(&mut store, &bucket, |buckets, bucket| Ok(buckets.get(&(bucket, key)).is_some()))
        },
    )?;
    store.func_wrap(
        "[method]bucket.list-keys",
        |mut store: StoreContextMut<'_, Guest>, (bucket, cursor): (Resource<Bucket>, Option<u64>)| {
            on(&mut store, &bucket, |buckets, bucket| Ok(buckets.keys(&bucket, cursor)))
        },
    )
}

fn link_batch(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut batch = linker.instance(BATCH)?;
    batch.func_wrap(
        "get-many",
        |mut store: StoreContextMut<'_, Guest>, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
            on(&mut store, &bucket, |buckets, bucket| {
                let found = |key: String| {
                    let name = (Arc::clone(&bucket), key);
                    buckets.get(&name).map(|value| (name.1, value))
                };
                Ok(keys.into_iter().map(found).collect::<Vec<_>>())
            })
        },
    )?;
    batch.func_wrap(
        "set-many",
        |mut store: StoreContextMut<'_, Guest>,
         (bucket, pairs): (Resource<Bucket>, Vec<(String, Vec<u8>)>)| {
            on(&mut store, &bucket, |buckets, bucket| {
                pairs.into_iter().try_for_each(|(key, value)| buckets.set((Arc::clone(&bucket), key), value))
            })
        },
    )?;
    batch.func_wrap(
        "delete-many",
        |mut store: StoreContextMut<'_, Guest>, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
            on(&mut store, &bucket, |buckets, bucket| {
                for key in keys {
                    buckets.delete(&(Arc::clone(&bucket), key));
                }
                Ok(())
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bucket: &str, key: &str) -> Name {
        (bucket.into(), key.to_owned())
    }

    #[test]
    fn what_exceeds_the_quota_is_refused_and_changes_nothing() {
        let buckets = Buckets::new(2 * (ENTRY + 10));
        buckets.set(name("b", "k"), vec![1; 8]).unwrap();
        buckets.set(name("b", "l"), vec![2; 8]).unwrap();
        let refused = buckets.set(name("b", "k"), vec![3; 9]).unwrap_err();
        assert_eq!(refused, Failure::Other("this Pod may keep 276 bytes, and 277 were wanted".into()));
        assert!(buckets.increment(name("b", "n"), 1).is_err());
        assert_eq!(buckets.get(&name("b", "k")), Some(vec![1; 8]));
        buckets.delete(&name("b", "l"));
        buckets.set(name("b", "k"), vec![3; 9]).unwrap();
    }

    #[test]
    fn keys_come_in_pages_and_only_of_their_bucket() {
        let buckets = Buckets::new(usize::MAX);
        for key in 0..=PAGE {
            buckets.set(name("b", &format!("{key:04}")), Vec::new()).unwrap();
        }
        buckets.set(name("a", "x"), Vec::new()).unwrap();
        buckets.set(name("c", "x"), Vec::new()).unwrap();
        let first = buckets.keys(&"b".into(), None);
        assert_eq!((first.keys.len(), first.cursor), (PAGE, Some(PAGE as u64)));
        let rest = buckets.keys(&"b".into(), first.cursor);
        assert_eq!(rest, Keys { keys: vec!["1000".to_owned()], cursor: None });
        assert_eq!(buckets.keys(&"b".into(), Some(u64::MAX)), Keys { keys: Vec::new(), cursor: None });
    }

    #[test]
    fn only_numbers_are_incremented() {
        let buckets = Buckets::new(usize::MAX);
        assert_eq!(buckets.increment(name("b", "n"), 2), Ok(2));
        assert_eq!(buckets.increment(name("b", "n"), 3), Ok(5));
        assert!(buckets.increment(name("b", "n"), u64::MAX).is_err());
        buckets.set(name("b", "n"), b"five".to_vec()).unwrap();
        assert_eq!(
            buckets.increment(name("b", "n"), 1),
            Err(Failure::Other("the value of \"n\" is no number".into()))
        );
    }
}
