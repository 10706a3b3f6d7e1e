//! `wasi:keyvalue`: buckets that containers share, in memory until their Pod is gone, or in a volume.
//!
//! A bucket needs no making: it has what was put into it. What may be kept is limited; what would exceed it is refused and
//! changes nothing. Numbers that are incremented are kept as decimal text. What is in a volume is all in memory, too, and a change is answered when
//! it is durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use super::journal::{Change, Journal, JournalError};
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

/// The names of bucket and key.
type Name = (Arc<str>, String);

/// What a Pod or a volume keeps.
#[derive(Debug)]
pub(crate) struct Buckets {
    whose: &'static str,
    most: usize,
    kept: Mutex<Kept>,
    /// Where it lasts.
    journal: Option<Arc<Journal>>,
}

/// A change that was made, by its number in the journal if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made(Option<u64>);

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
    pub(crate) fn in_memory(most: usize) -> Self {
        Self { whose: "this Pod", most, kept: Mutex::default(), journal: None }
    }

    /// What is in a volume, and never more than so many bytes.
    pub(crate) fn in_volume(volume: &Path, most: usize) -> Result<Self, JournalError> {
        let mut kept = Kept::default();
        let journal = Journal::open(volume, most, |change| kept.replay(change, most))?;
        let journal = Some(Arc::new(journal));
        Ok(Self { whose: "this volume", most, kept: Mutex::new(kept), journal })
    }

    fn get(&self, name: &Name) -> Option<Vec<u8>> {
        self.kept.lock().values.get(name).cloned()
    }

    fn set(&self, name: Name, value: Vec<u8>) -> Result<Made, Failure> {
        self.put(&mut self.kept.lock(), name, value)
    }

    fn put(&self, kept: &mut Kept, name: Name, value: Vec<u8>) -> Result<Made, Failure> {
        self.check_room()?;
        let change = self.journal.as_ref().map(|journal| (journal, Change::of(&name, Some(&value))));
        kept.set(name, value, self.most).map_err(|bytes| {
            Failure::Other(format!("{} may keep {} bytes, and {bytes} were wanted", self.whose, self.most))
        })?;
        Ok(Made(change.map(|(journal, change)| journal.push(&change))))
    }

    fn delete(&self, name: &Name) -> Result<Made, Failure> {
        let mut kept = self.kept.lock();
        self.check_room()?;
        let deleted = kept.delete(name);
        Ok(Made(self.journal.as_ref().map(|journal| {
            // Whoever deleted it before may still wait.
            if deleted { journal.push(&Change::of(name, None)) } else { journal.last() }
        })))
    }

    fn increment(&self, name: Name, delta: u64) -> Result<(u64, Made), Failure> {
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
        let made = self.put(&mut kept, name, sum.to_string().into_bytes())?;
        Ok((sum, made))
    }

    /// What waits to be written is in memory, too.
    fn check_room(&self) -> Result<(), Failure> {
        match &self.journal {
            Some(journal) if !journal.has_room() => {
                Err(Failure::Other("the volume is slower than what is put into it; try again".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Waits until a change lasts as long as it can.
    async fn lasting(self: &Arc<Self>, made: Made) -> Result<(), Failure> {
        let (Some(journal), Made(Some(number))) = (&self.journal, made) else { return Ok(()) };
        let present = Arc::clone(self);
        let present = move || {
            let kept = present.kept.lock();
            kept.values.iter().map(|(name, value)| Change::of(name, Some(value))).collect()
        };
        journal.durable(number, present).await.map_err(Failure::Other)
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
    /// Refused with the bytes that there would be.
    fn set(&mut self, name: Name, value: Vec<u8>, most: usize) -> Result<(), usize> {
        let old = self.values.get(&name).map_or(0, |old| cost(&name, old));
        let bytes = (self.bytes - old).saturating_add(cost(&name, &value));
        if bytes > most {
            return Err(bytes);
        }
        self.bytes = bytes;
        self.values.insert(name, value);
        Ok(())
    }

    /// Whether there was such a value.
    fn delete(&mut self, name: &Name) -> bool {
        let old = self.values.remove(name);
        self.bytes -= old.as_ref().map_or(0, |value| cost(name, value));
        old.is_some()
    }

    /// A change that was made before, if there is room for it.
    fn replay(&mut self, change: Change, most: usize) -> bool {
        let name = (change.bucket, change.key);
        if let Some(value) = change.value {
            return self.set(name, value, most).is_ok();
        }
        self.delete(&name);
        true
    }
}

impl Change {
    fn of((bucket, key): &Name, value: Option<&Vec<u8>>) -> Self {
        Self { bucket: Arc::clone(bucket), key: key.clone(), value: value.cloned() }
    }
}

fn cost((bucket, key): &Name, value: &[u8]) -> usize {
    bucket.len() + key.len() + value.len() + ENTRY
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link_store(linker)?;
    link_batch(linker)?;
    linker.instance(ATOMICS)?.func_wrap_async(
        "increment",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, delta): (Resource<Bucket>, String, u64)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                let made = buckets.increment((bucket, key), delta);
                Ok((lasting(&buckets, made.map(|(sum, made)| (sum, vec![made]))).await,))
            })
        },
    )
}

/// What a guest means by a bucket it opened.
fn opened(
    store: &mut StoreContextMut<'_, Guest>,
    bucket: &Resource<Bucket>,
) -> wasmtime::Result<(Arc<Buckets>, Arc<str>)> {
    let guest = store.data_mut();
    let name = Arc::clone(&guest.ctx().table.get(bucket)?.name);
    Ok((Arc::clone(&guest.keyvalue), name))
}

/// Answers when all that was changed lasts.
async fn lasting<T>(buckets: &Arc<Buckets>, made: Result<(T, Vec<Made>), Failure>) -> Result<T, Failure> {
    let (answer, made) = made?;
    for made in made {
        buckets.lasting(made).await?;
    }
    Ok(answer)
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
            let (buckets, bucket) = opened(&mut store, &bucket)?;
            Ok((Ok::<_, Failure>(buckets.get(&(bucket, key))),))
        },
    )?;
    store.func_wrap_async(
        "[method]bucket.set",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                let made = buckets.set((bucket, key), value);
                Ok((lasting(&buckets, made.map(|made| ((), vec![made]))).await,))
            })
        },
    )?;
    store.func_wrap_async(
        "[method]bucket.delete",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                let made = buckets.delete(&(bucket, key));
                Ok((lasting(&buckets, made.map(|made| ((), vec![made]))).await,))
            })
        },
    )?;
    store.func_wrap(
        "[method]bucket.exists",
        |mut store: StoreContextMut<'_, Guest>, (bucket, key): (Resource<Bucket>, String)| {
            let (buckets, bucket) = opened(&mut store, &bucket)?;
            Ok((Ok::<_, Failure>(buckets.get(&(bucket, key)).is_some()),))
        },
    )?;
    store.func_wrap(
        "[method]bucket.list-keys",
        |mut store: StoreContextMut<'_, Guest>, (bucket, cursor): (Resource<Bucket>, Option<u64>)| {
            let (buckets, bucket) = opened(&mut store, &bucket)?;
            Ok((Ok::<_, Failure>(buckets.keys(&bucket, cursor)),))
        },
    )
}

fn link_batch(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut batch = linker.instance(BATCH)?;
    batch.func_wrap(
        "get-many",
        |mut store: StoreContextMut<'_, Guest>, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
            let (buckets, bucket) = opened(&mut store, &bucket)?;
            let found = |key: String| {
                let name = (Arc::clone(&bucket), key);
                buckets.get(&name).map(|value| (name.1, value))
            };
            Ok((Ok::<_, Failure>(keys.into_iter().map(found).collect::<Vec<_>>()),))
        },
    )?;
    batch.func_wrap_async(
        "set-many",
        |mut store: StoreContextMut<'_, Guest>,
         (bucket, pairs): (Resource<Bucket>, Vec<(String, Vec<u8>)>)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                let set = |(key, value)| buckets.set((Arc::clone(&bucket), key), value);
                let made = pairs.into_iter().map(set).collect::<Result<Vec<_>, _>>();
                Ok((lasting(&buckets, made.map(|made| ((), made))).await,))
            })
        },
    )?;
    batch.func_wrap_async(
        "delete-many",
        |mut store: StoreContextMut<'_, Guest>, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
            Box::new(async move {
                let (buckets, bucket) = opened(&mut store, &bucket)?;
                let delete = |key| buckets.delete(&(Arc::clone(&bucket), key));
                let made = keys.into_iter().map(delete).collect::<Result<Vec<_>, _>>();
                Ok((lasting(&buckets, made.map(|made| ((), made))).await,))
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
        let buckets = Buckets::in_memory(2 * (ENTRY + 10));
        buckets.set(name("b", "k"), vec![1; 8]).unwrap();
        buckets.set(name("b", "l"), vec![2; 8]).unwrap();
        let refused = buckets.set(name("b", "k"), vec![3; 9]).unwrap_err();
        assert_eq!(refused, Failure::Other("this Pod may keep 276 bytes, and 277 were wanted".into()));
        assert!(buckets.increment(name("b", "n"), 1).is_err());
        assert_eq!(buckets.get(&name("b", "k")), Some(vec![1; 8]));
        buckets.delete(&name("b", "l")).unwrap();
        buckets.set(name("b", "k"), vec![3; 9]).unwrap();
    }

    #[test]
    fn keys_come_in_pages_and_only_of_their_bucket() {
        let buckets = Buckets::in_memory(usize::MAX);
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
        let buckets = Buckets::in_memory(usize::MAX);
        assert_eq!(buckets.increment(name("b", "n"), 2), Ok((2, Made(None))));
        assert_eq!(buckets.increment(name("b", "n"), 3), Ok((5, Made(None))));
        assert!(buckets.increment(name("b", "n"), u64::MAX).is_err());
        buckets.set(name("b", "n"), b"five".to_vec()).unwrap();
        assert_eq!(
            buckets.increment(name("b", "n"), 1),
            Err(Failure::Other("the value of \"n\" is no number".into()))
        );
    }

    #[test]
    fn who_deletes_what_is_being_deleted_waits_for_it_too() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = Buckets::in_volume(dir.path(), 1 << 10).unwrap();
        assert_eq!(buckets.set(name("b", "k"), Vec::new()), Ok(Made(Some(1))));
        for _ in 0..2 {
            assert_eq!(buckets.delete(&name("b", "k")), Ok(Made(Some(2))));
        }
    }
}
