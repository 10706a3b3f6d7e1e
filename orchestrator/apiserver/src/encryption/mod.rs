//! Values that are sealed on disk: which, with which key, and how they are told apart.
//!
//! ```text
//! written: storage key -> resource -> its rule, else for Secrets the cluster's own keys -> `k8s:enc:PROVIDER:v1:NAME:` body
//! read:    the mark of a value -> every key that has it, until one opens
//! ```
//!
//! Guarantees: without a configuration Secrets are sealed, and nothing else. The cluster's own keys always open, so a
//! configuration can be introduced; keys that a changed configuration leaves out open until the process ends. What is
//! told of a value that does not open names its key and the key that sealed it, never what it holds.

mod cipher;
mod config;
mod key;
mod overlap;
mod resource;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::RwLock;
use wherry_store::{Seal, SealError};

pub use config::{EncryptionConfig, EncryptionConfigError};
use key::Key;

/// The storage keys of Secrets begin so.
const SECRETS: &str = "/registry/secrets/";
/// How much of a mark is shown: names of keys are short.
const SHOWN: usize = 80;

/// Seals what is to be sealed.
#[derive(Debug)]
pub struct Encryption {
    /// The cluster's own keys; the first seals.
    own: Vec<Own>,
    current: RwLock<Arc<Current>>,
}

/// A key of the cluster's own.
#[derive(Debug)]
struct Own {
    key: Arc<Key>,
    /// `NAME:`, by which older versions marked what they sealed.
    mark: Vec<u8>,
}

/// What a configuration says.
#[derive(Debug, Default)]
struct Current {
    config: EncryptionConfig,
    /// Keys of it and of those before it.
    keys: Vec<Arc<Key>>,
}

impl Encryption {
    /// What seals with the cluster's own AES-GCM keys, by name, what a configuration does not name. None if a key is
    /// not of 32 bytes.
    pub fn new<'k>(own: impl IntoIterator<Item = (&'k str, &'k [u8])>) -> Option<Self> {
        let own = own.into_iter().map(|(name, secret)| {
            let cipher = cipher::gcm(secret).filter(|_| secret.len() == 32)?;
            let key = Arc::new(Key::new("aesgcm", name, secret, cipher));
            Some(Own { key, mark: format!("{name}:").into_bytes() })
        });
        Some(Self { own: own.collect::<Option<_>>()?, current: RwLock::default() })
    }

    /// Does from now on what a configuration says.
    pub fn configure(&self, config: EncryptionConfig) {
        let mut current = self.current.write();
        let mut keys = current.keys.clone();
        for key in config.rules.values().flat_map(|rule| &rule.keys) {
            if !keys.contains(key) {
                keys.push(Arc::clone(key));
            }
        }
        *current = Arc::new(Current { config, keys });
    }

    /// Whether something is said of how values under this key are kept.
    pub fn concerns(&self, key: &str) -> bool {
        let current = Arc::clone(&self.current.read());
        key.starts_with(SECRETS)
            || resource::of_key(key).is_some_and(|(g, r)| current.config.rule(g, r).is_some())
    }

    /// What seals a value under this key.
    fn writer(&self, key: &str) -> Result<Option<Arc<Key>>, SealError> {
        let current = Arc::clone(&self.current.read());
        if !current.config.rules.is_empty()
            && let Some((group, resource)) = resource::of_key(key)
            && let Some(rule) = current.config.rule(group, resource)
        {
            return Ok(rule.first.clone());
        }
        if !key.starts_with(SECRETS) {
            return Ok(None);
        }
        let own = self.own.first().ok_or_else(|| SealError("there is no key to seal it with".to_owned()))?;
        Ok(Some(Arc::clone(&own.key)))
    }
}

impl Seal for Encryption {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let Some(with) = self.writer(key)? else { return Ok(None) };
        let sealed = with.seal(key, value);
        sealed.map(Some).ok_or_else(|| SealError(format!("{with:?} cannot seal it")))
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let current = Arc::clone(&self.current.read());
        let own = self.own.iter();
        let marked = current.keys.iter().chain(own.clone().map(|own| &own.key));
        let marked = marked.filter_map(|with| Some((with, with.body(sealed)?)));
        let older = own.filter_map(|own| Some((&own.key, sealed.strip_prefix(own.mark.as_slice())?)));
        let mut tried = false;
        for (with, body) in marked.chain(older) {
            if let Some(value) = with.open(key, body) {
                return Ok(value);
            }
            tried = true;
        }
        let mark = mark(sealed);
        Err(SealError(if tried {
            format!("it was not sealed so by the key {mark}")
        } else {
            format!(
                "no key {mark} is known; restore pki/secrets.key, or name the key in the file of --encryption-provider-config"
            )
        }))
    }
}

/// The mark of a value, as far as it is one.
fn mark(sealed: &[u8]) -> String {
    let colons = if sealed.starts_with(b"k8s:enc:") { 5 } else { 1 };
    let end = sealed.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(colons - 1);
    let name = end.and_then(|(end, _)| std::str::from_utf8(&sealed[..end]).ok());
    let name = name.filter(|name| name.len() <= SHOWN && name.chars().all(|c| !c.is_control()));
    name.map_or_else(|| "that sealed it".to_owned(), |name| format!("{name:?}"))
}
