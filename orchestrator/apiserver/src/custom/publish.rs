//! What OpenAPI tells of custom kinds: documents made when somebody asks for them, and kept as long as definitions say
//! the same.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use wherry_schema::openapi::custom::{self, Published};
use wherry_schema::openapi::swagger;

/// The documents of everything that is published.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// One for each group and version, by name: `apis/example.com/v1`.
    parts: BTreeMap<String, Part>,
    /// Of the one document of the older form.
    hash: String,
    swagger: OnceLock<Bytes>,
}

#[derive(Debug)]
struct Part {
    published: Vec<Published>,
    hash: String,
    made: OnceLock<Bytes>,
}

impl Documents {
    /// The documents of these kinds.
    pub(crate) fn of(published: impl Iterator<Item = Published>) -> Self {
        let mut groups: BTreeMap<String, Vec<Published>> = BTreeMap::new();
        for one in published {
            groups.entry(one.document()).or_default().push(one);
        }
        let part = |published: Vec<Published>| {
            let hash = custom::hash(&published.iter().collect::<Vec<_>>());
            Part { published, hash, made: OnceLock::new() }
        };
        let parts = groups.into_iter().map(|(name, published)| (name, part(published))).collect();
        let mut documents = Self { parts, ..Self::default() };
        documents.hash = format!("{}-{}", swagger().hash, custom::hash(&documents.all()));
        documents
    }

    fn all(&self) -> Vec<&Published> {
        self.parts.values().flat_map(|part| &part.published).collect()
    }

    /// The names and the hashes of the documents.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part.hash.as_str()))
    }

    /// Whether there is a document of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// The hash of a document, and the document, gzipped.
    pub(crate) fn document(&self, name: &str) -> Option<(&str, Bytes)> {
        let part = self.parts.get(name)?;
        let make = || custom::pack(&custom::document(&part.published.iter().collect::<Vec<_>>())).into();
        Some((&part.hash, part.made.get_or_init(make).clone()))
    }

    /// The same of the document of the older form; none if it tells only of what is built in.
    pub(crate) fn swagger(&self) -> Option<(&str, Bytes)> {
        if self.parts.is_empty() {
            return None;
        }
        let make = || custom::pack(&custom::swagger(&self.all())).into();
        Some((&self.hash, self.swagger.get_or_init(make).clone()))
    }
}
