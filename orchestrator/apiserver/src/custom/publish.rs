//! What OpenAPI tells of custom kinds, and of what is switched on: documents made when somebody asks for them, and kept as
//! long as definitions say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;
use wherry_api::kinds::SwitchedOn;
use wherry_schema::openapi::custom::{self, Published};
use wherry_schema::openapi::merge::{Other, merge};
use wherry_schema::openapi::{optional, swagger, unpack};

use super::switched;

/// The documents of everything that is published.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// One for each group and version, by name: `apis/example.com/v1`.
    parts: BTreeMap<String, Part>,
    switched_on: SwitchedOn,
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
    /// The documents of what is switched on and of these kinds.
    pub(crate) fn of(switched_on: &SwitchedOn, published: impl Iterator<Item = Published>) -> Self {
        let mut groups: BTreeMap<String, Vec<Published>> = BTreeMap::new();
        for one in published {
            groups.entry(one.document()).or_default().push(one);
        }
        let part = |published: Vec<Published>| {
            let hash = custom::hash(&published.iter().collect::<Vec<_>>());
            Part { published, hash, made: OnceLock::new() }
        };
        let mut parts: BTreeMap<String, Part> =
            groups.into_iter().map(|(name, published)| (name, part(published))).collect();
        for name in switched::documents(switched_on) {
            let hash = switched::hash(switched_on, &name);
            parts.insert(name, Part { published: Vec::new(), hash, made: OnceLock::new() });
        }
        let mut documents = Self { parts, switched_on: switched_on.clone(), ..Self::default() };
        let switched: Vec<String> = switched_on.rows().map(|row| row.plural.to_owned()).collect();
        documents.hash =
            format!("{}-{}{}", swagger().hash, custom::hash(&documents.all()), switched.join("-"));
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
        let make = || {
            let json = match optional(name) {
                Some(optional) if part.published.is_empty() => {
                    switched::only(&self.switched_on, &optional.document.json())
                }
                _ => custom::document(&part.published.iter().collect::<Vec<_>>()),
            };
            custom::pack(&json).into()
        };
        Some((&part.hash, part.made.get_or_init(make).clone()))
    }

    /// The same of the document of the older form; none if it tells only of what is always built in.
    pub(crate) fn swagger(&self) -> Option<(&str, Bytes)> {
        if self.parts.is_empty() {
            return None;
        }
        let make = || custom::pack(&self.make_swagger()).into();
        Some((&self.hash, self.swagger.get_or_init(make).clone()))
    }

    fn make_swagger(&self) -> Vec<u8> {
        let published = self.all();
        let own = if published.is_empty() { unpack(swagger().gzip) } else { custom::swagger(&published) };
        let names: BTreeSet<String> = switched::documents(&self.switched_on);
        let documents: Vec<(String, Vec<u8>)> = names
            .into_iter()
            .filter_map(|name| {
                let json = switched::only(&self.switched_on, &optional(&name)?.swagger.json());
                Some((format!("/{name}/"), json))
            })
            .collect();
        if documents.is_empty() {
            return own;
        }
        let others: Vec<Other<'_>> = documents.iter().map(|(prefix, json)| Other { prefix, json }).collect();
        merge(&own, &others)
    }
}
