//! Buckets in memory, until their Pod is gone, or in a volume. What is in a volume is all in memory, too, and a change is answered when
//! it is durable.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use super::super::journal::{Change, Journal, JournalError};
use super::{ENTRY, Failure, Keys, PAGE, Pair, Swap, Version};

/// The names of bucket and key.
type Name = (Arc<str>, String);

/// What a Pod or a volume keeps.
#[derive(Debug)]
pub(crate) struct Local {
    whose: &'static str,
    most: usize,
    kept: Mutex<Kept>,
    /// Where it lasts.
    journal: Option<Arc<Journal>>,
}

/// A change that was made, by its number in the journal if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Made(Option<u64>);

#[derive(Debug, Default)]
struct Kept {
    values: BTreeMap<Name, Vec<u8>>,
    bytes: usize,
}

impl Local {
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

    /// The values of those of these keys that have one, in their order: together no more than may be kept, however often one is named.
    pub(super) fn get(&self, bucket: &Arc<str>, keys: Vec<String>) -> Result<Vec<Option<Pair>>, Failure> {
        let kept = self.kept.lock();
        let (mut bytes, mut found) = (0, Vec::with_capacity(keys.len()));
        for key in keys {
            let name = (Arc::clone(bucket), key);
            let value = kept.values.get(&name);
            bytes += value.map_or(0, Vec::len);
            if bytes > self.most {
                return Err(Failure::answer(self.most, bytes as u64));
            }
            found.push(value.map(|value| (name.1, value.clone())));
        }
        Ok(found)
    }

    pub(super) fn exists(&self, name: &Name) -> bool {
        self.kept.lock().values.contains_key(name)
    }

    /// One after the other, up to the first that is refused.
    pub(super) async fn set(self: &Arc<Self>, bucket: &Arc<str>, pairs: Vec<Pair>) -> Result<(), Failure> {
        let put = |(key, value)| self.put(&mut self.kept.lock(), (Arc::clone(bucket), key), value);
        let made = pairs.into_iter().map(put).collect::<Result<Vec<_>, _>>()?;
        self.lasting(made).await
    }

    pub(super) async fn delete(
        self: &Arc<Self>,
        bucket: &Arc<str>,
        keys: Vec<String>,
    ) -> Result<(), Failure> {
        let remove = |key| self.remove(&(Arc::clone(bucket), key));
        let made = keys.into_iter().map(remove).collect::<Result<Vec<_>, _>>()?;
        self.lasting(made).await
    }

    pub(super) async fn increment(
        self: &Arc<Self>,
        name: Name,
        delta: i128,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        let (sum, made) = self.add(name, delta, &range)?;
        self.lasting(vec![made]).await?;
        Ok(sum)
    }

    pub(super) fn read(&self, name: &Name) -> (Option<Vec<u8>>, Version) {
        let kept = self.kept.lock();
        let value = kept.values.get(name);
        (value.cloned(), value.map(|value| version(value)))
    }

    /// A version is the digest of its value.
    pub(super) async fn swap(
        self: &Arc<Self>,
        name: Name,
        seen: &Version,
        value: Vec<u8>,
    ) -> Result<Swap, Failure> {
        let made = {
            let mut kept = self.kept.lock();
            let now = kept.values.get(&name).map(|value| version(value));
            if now != *seen {
                return Ok(Swap::Stale(now));
            }
            self.put(&mut kept, name, value)?
        };
        self.lasting(vec![made]).await?;
        Ok(Swap::Done)
    }

    fn put(&self, kept: &mut Kept, name: Name, value: Vec<u8>) -> Result<Made, Failure> {
        self.check_room()?;
        let change = self.journal.as_ref().map(|journal| (journal, Change::of(&name, Some(&value))));
        kept.set(name, value, self.most)
            .map_err(|bytes| Failure::quota(self.whose, self.most, bytes as u64))?;
        Ok(Made(change.map(|(journal, change)| journal.push(&change))))
    }

    fn remove(&self, name: &Name) -> Result<Made, Failure> {
        let mut kept = self.kept.lock();
        self.check_room()?;
        let deleted = kept.delete(name);
        Ok(Made(self.journal.as_ref().map(|journal| {
            // Whoever deleted it before may still wait.
            if deleted { journal.push(&Change::of(name, None)) } else { journal.last() }
        })))
    }

    fn add(&self, name: Name, delta: i128, range: &RangeInclusive<i128>) -> Result<(i128, Made), Failure> {
        let mut kept = self.kept.lock();
        let number = match kept.values.get(&name) {
            None => 0,
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i128>().ok())
                .filter(|number| range.contains(number))
                .ok_or_else(|| Failure::no_number(&name.1))?,
        };
        let sum = number.checked_add(delta).filter(|sum| range.contains(sum));
        let sum = sum.ok_or_else(|| Failure::overflow(&name.1))?;
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

    /// Waits until changes last as long as they can.
    async fn lasting(self: &Arc<Self>, made: Vec<Made>) -> Result<(), Failure> {
        let (Some(journal), Some(Made(Some(last)))) = (&self.journal, made.into_iter().max()) else {
            return Ok(());
        };
        let present = Arc::clone(self);
        let present = move || {
            let kept = present.kept.lock();
            kept.values.iter().map(|(name, value)| Change::of(name, Some(value))).collect()
        };
        journal.durable(last, present).await.map_err(Failure::Other)
    }

    pub(super) fn keys(&self, bucket: &Arc<str>, cursor: Option<u64>) -> Keys {
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

fn version(value: &[u8]) -> Vec<u8> {
    digest(&SHA256, value).as_ref().to_vec()
}

fn cost((bucket, key): &Name, value: &[u8]) -> usize {
    bucket.len() + key.len() + value.len() + ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<i128> = -2..=5;

    fn name(bucket: &str, key: &str) -> Name {
        (bucket.into(), key.to_owned())
    }

    fn put(buckets: &Local, bucket: &str, key: &str, value: &[u8]) -> Result<Made, Failure> {
        buckets.put(&mut buckets.kept.lock(), name(bucket, key), value.to_vec())
    }

    fn get(buckets: &Local, keys: &[&str]) -> Result<Vec<Option<Pair>>, Failure> {
        buckets.get(&"b".into(), keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn what_exceeds_the_quota_is_refused_and_changes_nothing() {
        let buckets = Local::in_memory(2 * (ENTRY + 10));
        put(&buckets, "b", "k", &[1; 8]).unwrap();
        put(&buckets, "b", "l", &[2; 8]).unwrap();
        let refused = put(&buckets, "b", "k", &[3; 9]).unwrap_err();
        assert_eq!(refused, Failure::Other("this Pod may keep 276 bytes, and 277 were wanted".into()));
        assert!(buckets.add(name("b", "n"), 1, &RANGE).is_err());
        assert_eq!(get(&buckets, &["k"]), Ok(vec![Some(("k".to_owned(), vec![1; 8]))]));
        buckets.remove(&name("b", "l")).unwrap();
        put(&buckets, "b", "k", &[3; 9]).unwrap();
    }

    /// A key that was named a thousand times had its value copied a thousand times, outside of the guest's memory limit.
    #[test]
    fn no_more_is_answered_than_may_be_kept() {
        let buckets = Local::in_memory(ENTRY + 10);
        put(&buckets, "b", "k", &[1; 8]).unwrap();
        assert_eq!(get(&buckets, &["k"; 17]).map(|found| found.len()), Ok(17));
        let refused = "the values are of 144 bytes, and 138 are answered at one time".to_owned();
        assert_eq!(get(&buckets, &["k"; 1000]), Err(Failure::Other(refused)));
    }

    #[test]
    fn keys_come_in_pages_and_only_of_their_bucket() {
        let buckets = Local::in_memory(usize::MAX);
        for key in 0..=PAGE {
            put(&buckets, "b", &format!("{key:04}"), &[]).unwrap();
        }
        put(&buckets, "a", "x", &[]).unwrap();
        put(&buckets, "c", "x", &[]).unwrap();
        let first = buckets.keys(&"b".into(), None);
        assert_eq!((first.keys.len(), first.cursor), (PAGE, Some(PAGE as u64)));
        let rest = buckets.keys(&"b".into(), first.cursor);
        assert_eq!(rest, Keys { keys: vec!["1000".to_owned()], cursor: None });
        assert_eq!(buckets.keys(&"b".into(), Some(u64::MAX)), Keys { keys: Vec::new(), cursor: None });
    }

    #[test]
    fn only_numbers_are_incremented() {
        let buckets = Local::in_memory(usize::MAX);
        for (delta, sum) in [(2, 2), (3, 5), (-7, -2)] {
            assert_eq!(buckets.add(name("b", "n"), delta, &RANGE), Ok((sum, Made(None))));
        }
        for delta in [-1, 8, i128::MAX, i128::MIN] {
            assert_eq!(buckets.add(name("b", "n"), delta, &RANGE), Err(Failure::overflow("n")));
        }
        for value in ["five", "6", "-3", "", "1.0"] {
            put(&buckets, "b", "n", value.as_bytes()).unwrap();
            assert_eq!(buckets.add(name("b", "n"), 1, &RANGE), Err(Failure::no_number("n")));
        }
    }

    #[test]
    fn who_deletes_what_is_being_deleted_waits_for_it_too() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = Local::in_volume(dir.path(), 1 << 10).unwrap();
        assert_eq!(put(&buckets, "b", "k", &[]), Ok(Made(Some(1))));
        for _ in 0..2 {
            assert_eq!(buckets.remove(&name("b", "k")), Ok(Made(Some(2))));
        }
    }
}
