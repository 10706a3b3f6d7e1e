//! Objects on their way between the store and the version that a client speaks.
//!
//! What is stored was written in the version that was the one to store then, and by the schema of then. Read, it becomes
//! an object of the version asked for, as the definition is now; written, it becomes one of the version to store. Inside
//! a request an object is always of the version asked for. [`convert`] is the one place where one version becomes
//! another: as it is, or by a webhook, which is asked about many objects at once.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use wherry_api::kinds::Kind;
use wherry_schema::{Schema, Value};
use wherry_store::Entry;

use super::definition::{Definition, Served, Version};
use crate::codec::{self, Encoded};
use crate::error::Failure;
use crate::extract::extract;
use crate::object::Fields;
use crate::state::State;
use crate::verbs::show::revision_of;

/// How many objects a webhook is asked about at once.
pub(crate) const BATCH: usize = 500;
/// How many bytes of objects are enough for that.
const BATCH_BYTES: usize = 1 << 20;

/// How many of objects of these sizes are converted at once.
pub(crate) fn batch_len(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        let before = bytes;
        bytes += size;
        before < BATCH_BYTES
    };
    sizes.take(BATCH).take_while(fits).count()
}

impl Served {
    /// Whether stored bytes are what a client of this version sees.
    pub(crate) fn is_fit(&self, stored: &[u8]) -> bool {
        let written = revision_of(stored).parse::<u64>();
        codec::is_of(self.version().kind, stored)
            && written.is_ok_and(|written| written >= self.definition().since)
    }

    /// Whether stored bytes are what writing this object, which they were read as, would make of them.
    pub(crate) async fn is_stored_as(
        &self,
        state: &State,
        stored: &[u8],
        object: &Value,
    ) -> Result<bool, Failure> {
        if !codec::is_of(self.definition().storage.kind, stored) {
            return Ok(false);
        }
        if self.is_fit(stored) {
            return Ok(true);
        }
        let revision = revision_of(stored).parse().unwrap_or_default();
        Ok(self.encode(state, object).await?.at(revision) == stored)
    }

    /// Stored bytes as an object of this version.
    pub(crate) async fn load(&self, state: &State, key: &str, stored: &[u8]) -> Result<Value, Failure> {
        if self.is_fit(stored) {
            return codec::decode(key, stored);
        }
        let mut objects = [self.renewed(key, stored)?];
        convert(state, self.definition(), &mut objects, self.version()).await?;
        let [object] = objects;
        Ok(object)
    }

    /// Stored bytes as a client of this version sees them.
    pub(crate) async fn show(&self, state: &State, stored: &Bytes) -> Result<Bytes, Failure> {
        if self.is_fit(stored) {
            return Ok(stored.clone());
        }
        let object = self.load(state, self.version().kind.plural, stored).await?;
        Ok(self.shown(&object))
    }

    /// Makes entries what clients of this version see, with the attributes that they have there.
    pub(crate) async fn show_all(&self, state: &State, entries: &mut [Arc<Entry>]) -> Result<(), Failure> {
        let mut unfit: Vec<&mut Arc<Entry>> =
            entries.iter_mut().filter(|entry| !self.is_fit(&entry.value)).collect();
        let mut rest = &mut unfit[..];
        while !rest.is_empty() {
            let (batch, more) = rest.split_at_mut(batch_len(rest.iter().map(|entry| entry.value.len())));
            rest = more;
            let objects = batch.iter().map(|entry| self.renewed(&entry.key, &entry.value));
            let mut objects = objects.collect::<Result<Vec<Value>, Failure>>()?;
            convert(state, self.definition(), &mut objects, self.version()).await?;
            for (entry, object) in batch.iter_mut().zip(&objects) {
                let value = self.shown(object);
                let attributes = Arc::new(extract(&entry.key, &value));
                **entry = Arc::new(Entry { value, attributes, ..Entry::clone(entry) });
            }
        }
        Ok(())
    }

    /// Stored bytes as an object of the version it was written in, as that version is now.
    fn renewed(&self, key: &str, stored: &[u8]) -> Result<Value, Failure> {
        let mut object = codec::decode(key, stored)?;
        let definition = self.definition();
        let written = definition.versions.iter().find(|version| codec::is_of(version.kind, stored));
        written.unwrap_or(&definition.storage).structural.renew(&mut object);
        Ok(object)
    }

    /// An object in the form of stored ones, which another revision can be written over.
    fn shown(&self, object: &Value) -> Bytes {
        let kind = self.version().kind;
        let encoded = codec::encode(kind.kind, &kind.api_version(), object);
        match object.text("metadata.resourceVersion").parse() {
            Ok(revision) => encoded.at(revision),
            // What was not written has none.
            Err(_) => codec::encode_loose(kind.kind, &kind.api_version(), object),
        }
    }

    /// An object in another version, with the schema of that; none if the version is not served. Until a webhook has
    /// made it, the object as it is stands in: see [`Served::ask_for_siblings`].
    pub(crate) fn in_version<'v>(
        &'v self,
        object: &'v Value,
        api_version: &str,
    ) -> Option<(Cow<'v, Value>, &'v Schema)> {
        let versions = &self.definition().versions;
        let to = versions.iter().find(|version| version.kind.api_version() == api_version)?;
        if object.text("apiVersion") == api_version {
            return Some((Cow::Borrowed(object), &to.schema));
        }
        let converted =
            self.definition().webhook.as_ref().and_then(|_| self.siblings().find(object, api_version));
        let converted = converted.unwrap_or_else(|| {
            let mut object = object.clone();
            relabel(&mut object, to);
            object
        });
        Some((Cow::Owned(converted), &to.schema))
    }

    /// An object of this version as it is stored.
    pub(crate) async fn encode(&self, state: &State, object: &Value) -> Result<Encoded, Failure> {
        let storage = &self.definition().storage;
        let (kind, api_version) = (storage.kind, storage.kind.api_version());
        if std::ptr::eq(self.version().kind, kind) {
            return Ok(codec::encode(kind.kind, &api_version, object));
        }
        let mut objects = [object.clone()];
        convert(state, self.definition(), &mut objects, storage).await?;
        let [object] = &objects;
        Ok(codec::encode(kind.kind, &api_version, object))
    }
}

impl Definition {
    /// An object as one of another version, as those see it who look at changes: nothing that it says is left out.
    pub(crate) async fn in_version(
        &self,
        state: &State,
        object: &Value,
        to: &'static Kind,
    ) -> Result<Value, Failure> {
        let mut objects = [object.clone()];
        if let Some(webhook) = &self.webhook {
            webhook.convert(state, &self.name(), (&mut objects, &to.api_version())).await?;
        }
        let [mut object] = objects;
        object.put("apiVersion", to.api_version());
        Ok(object)
    }
}

/// Makes objects ones of another version of their kind.
pub(super) async fn convert(
    state: &State,
    definition: &Definition,
    objects: &mut [Value],
    to: &Version,
) -> Result<(), Failure> {
    if let Some(webhook) = &definition.webhook {
        webhook.convert(state, &definition.name(), (&mut *objects, &to.kind.api_version())).await?;
    }
    for object in objects {
        relabel(object, to);
    }
    Ok(())
}

/// What an object says stays the same, as far as the other version knows it.
fn relabel(object: &mut Value, to: &Version) {
    object.put("apiVersion", to.kind.api_version());
    to.structural.prune(object);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], 0)]
    #[case(&[1, 2, 3], 3)]
    #[case(&[BATCH_BYTES + 1, 1], 1)]
    #[case(&[1, BATCH_BYTES, 1], 2)]
    #[case(&[1; BATCH + 1], BATCH)]
    fn a_batch_has_at_least_one_object_and_is_not_large(#[case] sizes: &[usize], #[case] count: usize) {
        assert_eq!(batch_len(sizes.iter().copied()), count);
    }
}
