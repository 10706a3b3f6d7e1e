//! Objects on their way between the store and the version that a client speaks.
//!
//! What is stored was written in the version that was the one to store then, and by the schema of then. Read, it becomes
//! an object of the version asked for, as the definition is now; written, it becomes one of the version to store. Inside
//! a request an object is always of the version asked for. [`convert`] is the one place where one version becomes
//! another.

use std::borrow::Cow;

use bytes::Bytes;
use wherry_schema::{Schema, Value};

use super::definition::{Definition, Served, Version};
use crate::codec::{self, Encoded};
use crate::error::Failure;
use crate::object::Fields;
use crate::verbs::show::revision_of;

impl Served {
    /// Whether stored bytes are what a client of this version sees.
    pub(crate) fn is_fit(&self, stored: &[u8]) -> bool {
        let written = revision_of(stored).parse::<u64>();
        codec::is_of(self.version().kind, stored)
            && written.is_ok_and(|written| written >= self.definition().since)
    }

    /// Whether stored bytes are what writing this object, which they were read as, would make of them.
    pub(crate) fn is_stored_as(&self, stored: &[u8], object: &Value) -> bool {
        let storage = self.definition().storage.kind;
        let same = || codec::decode(storage.plural, stored).is_ok_and(|decoded| decoded == *object);
        codec::is_of(storage, stored) && (self.is_fit(stored) || same())
    }

    /// Stored bytes as an object of this version.
    pub(crate) async fn load(&self, key: &str, stored: &[u8]) -> Result<Value, Failure> {
        let mut object = codec::decode(key, stored)?;
        if !self.is_fit(stored) {
            self.definition().storage.structural.renew(&mut object);
            convert(&mut object, self.definition(), self.version()).await?;
        }
        Ok(object)
    }

    /// Stored bytes as a client of this version sees them.
    pub(crate) async fn show(&self, stored: &Bytes) -> Result<Bytes, Failure> {
        if self.is_fit(stored) {
            return Ok(stored.clone());
        }
        let kind = self.version().kind;
        let object = self.load(kind.plural, stored).await?;
        Ok(codec::encode_loose(kind.kind, &kind.api_version(), &object))
    }

    /// An object in another version, with the schema of that; none if the version is not served.
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
        let mut object = object.clone();
        relabel(&mut object, to);
        Some((Cow::Owned(object), &to.schema))
    }

    /// An object of this version as it is stored.
    pub(crate) async fn encode(&self, object: &Value) -> Result<Encoded, Failure> {
        let storage = &self.definition().storage;
        let (kind, api_version) = (storage.kind, storage.kind.api_version());
        if std::ptr::eq(self.version().kind, kind) {
            return Ok(codec::encode(kind.kind, &api_version, object));
        }
        let mut object = object.clone();
        convert(&mut object, self.definition(), storage).await?;
        Ok(codec::encode(kind.kind, &api_version, &object))
    }
}

/// Makes an object one of another version of its kind.
#[expect(clippy::unused_async, reason = "conversion webhooks are asked here")]
async fn convert(object: &mut Value, definition: &Definition, to: &Version) -> Result<(), Failure> {
    if definition.by_webhook && object.text("apiVersion") != to.kind.api_version() {
        let why = "conversion webhooks are not asked yet".to_owned();
        return Err(Failure::Internal(why));
    }
    relabel(object, to);
    Ok(())
}

/// What an object says stays the same, as far as the other version knows it.
fn relabel(object: &mut Value, to: &Version) {
    object.put("apiVersion", to.kind.api_version());
    to.structural.prune(object);
}
