//! `EncryptionConfiguration` (`apiserver.config.k8s.io/v1`): read from YAML or JSON and checked as upstream checks it,
//! but for what it says of mistakes never repeating a key.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wherry_schema::decode::{duplicate_keys, parse};
use wherry_schema::{DecodeError, Format, Value};

use super::cipher::{self, Cipher};
use super::key::Key;
use super::overlap::{check_names, check_overlap};
use super::resource::{ANY, GroupResource};
use crate::object::Fields;
use crate::reader::Reader;
use crate::validation::Path;

const VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";
const PROVIDERS: &[&str] = &["aesgcm", "aescbc", "secretbox", "identity", "kms"];
const KMS: &[&str] = &["apiVersion", "name", "cachesize", "endpoint", "timeout"];
const NO_PROVIDER: &str =
    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
const MANY_PROVIDERS: &str =
    "more than one provider specified in a single element, should split into different list elements";
const NO_KMS: &str = "plugins that keep keys (KMS) are not built; use aesgcm, aescbc, secretbox or identity";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionConfigError {
    /// It is neither YAML nor JSON.
    #[error("error while parsing file")]
    Syntax(#[source] DecodeError),
    /// A key is given twice.
    #[error("error while parsing file: {0}")]
    Duplicate(String),
    /// It is something else.
    #[error(
        "error while parsing file: it is of apiVersion {version:?} and kind {kind:?}; write {VERSION:?} and {KIND:?}"
    )]
    Kind {
        /// Its `apiVersion`.
        version: String,
        /// Its `kind`.
        kind: String,
    },
    /// Fields that are not allowed or say nothing.
    #[error("error while parsing file: {0}")]
    Invalid(String),
    /// A rule that would never count.
    #[error(
        "error while building transformers: resource \"{resource}\" is masked by earlier rule \"{rule}\""
    )]
    Masked {
        /// What the rule is about.
        resource: String,
        /// What the earlier one is about.
        rule: String,
    },
}

/// How the values of a resource are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    /// What seals what is written; nothing if it is kept as it is.
    pub(super) first: Option<Arc<Key>>,
    /// What opens what was written.
    pub(super) keys: Vec<Arc<Key>>,
}

/// Which resources are sealed, and how.
#[derive(Debug, Clone, Default)]
pub struct EncryptionConfig {
    pub(super) rules: HashMap<GroupResource, Rule>,
}

impl EncryptionConfig {
    /// Reads a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, EncryptionConfigError> {
        let value = parse(bytes, Format::Yaml).map_err(EncryptionConfigError::Syntax)?;
        if let Some(twice) = duplicate_keys(bytes) {
            return Err(EncryptionConfigError::Duplicate(twice));
        }
        let (version, kind) = (value.text("apiVersion").to_owned(), value.text("kind").to_owned());
        if version != VERSION || kind != KIND {
            return Err(EncryptionConfigError::Kind { version, kind });
        }
        let mut reader = Reader::discreet();
        let entries = reader.entries(&value);
        if !reader.errors.is_empty() {
            return Err(EncryptionConfigError::Invalid(reader.errors.to_string()));
        }
        let mut config = Self::default();
        for (resources, rule) in entries {
            for resource in resources {
                config.add(GroupResource::parse(&resource), &rule)?;
            }
        }
        Ok(config)
    }

    /// Adds a rule, which must not come after one for more.
    fn add(&mut self, resource: GroupResource, rule: &Rule) -> Result<(), EncryptionConfigError> {
        for wider in [GroupResource::new(&resource.group, ANY), GroupResource::new(ANY, ANY)] {
            if self.rules.contains_key(&wider) {
                let (resource, rule) = (resource.to_string(), wider.to_string());
                return Err(EncryptionConfigError::Masked { resource, rule });
            }
        }
        let known = self
            .rules
            .entry(resource)
            .or_insert_with(|| Rule { first: rule.first.clone(), keys: Vec::new() });
        known.keys.extend(rule.keys.iter().cloned());
        Ok(())
    }

    /// The rule for a resource.
    pub(super) fn rule(&self, group: &str, resource: &str) -> Option<&Rule> {
        let candidates = [(group, resource), (group, ANY), (ANY, ANY)];
        candidates
            .into_iter()
            .find_map(|(group, resource)| self.rules.get(&GroupResource::new(group, resource)))
    }
}

/// The resources of a rule, and the rule.
type Entry = (Vec<String>, Rule);

impl Reader {
    fn entries(&mut self, value: &Value) -> Vec<Entry> {
        self.known(value, &Path::default(), &["apiVersion", "kind", "resources"]);
        let path = Path::new("resources");
        let entries = self.list(value, &Path::default(), "resources");
        if entries.is_empty() {
            self.errors.required(&path, "at least one resources is required");
        }
        entries.iter().enumerate().map(|(at, entry)| self.entry(entry, &path.index(at))).collect()
    }

    fn entry(&mut self, value: &Value, path: &Path) -> Entry {
        self.known(value, path, &["resources", "providers"]);
        let resources = self.texts(value, path, "resources");
        let at = path.child("resources");
        if resources.is_empty() {
            self.errors.required(&at, &format!("at least one {at} is required"));
        }
        check_overlap(&resources, &at, &mut self.errors);
        check_names(&resources, &at, &mut self.errors);
        let providers = self.list(value, path, "providers");
        let at = path.child("providers");
        if providers.is_empty() {
            self.errors.required(&at, &format!("at least one {at} is required"));
        }
        let mut rule = Rule::default();
        for (index, provider) in providers.iter().enumerate() {
            let keys = self.provider(provider, &at.index(index));
            if index == 0 {
                rule.first = keys.first().cloned();
            }
            rule.keys.extend(keys);
        }
        (resources, rule)
    }

    /// The keys of a provider; none of the one that seals nothing.
    fn provider(&mut self, value: &Value, path: &Path) -> Vec<Arc<Key>> {
        self.known(value, path, PROVIDERS);
        let given: Vec<&str> = PROVIDERS.iter().copied().filter(|name| value.has(name)).collect();
        let [name] = given.as_slice() else {
            let why = if given.is_empty() { NO_PROVIDER } else { MANY_PROVIDERS };
            self.errors.invalid_without_value(path, why);
            return Vec::new();
        };
        let nothing = Value::object();
        let provider = (value.get(name).unwrap_or(&nothing), path.child(name));
        match *name {
            "aesgcm" => self.keys(provider, name, cipher::gcm, &[16, 24, 32]),
            "aescbc" => self.keys(provider, name, cipher::cbc, &[16, 24, 32]),
            "secretbox" => self.keys(provider, name, cipher::secretbox, &[32]),
            "kms" => {
                self.known(provider.0, &provider.1, KMS);
                self.errors.forbidden(&provider.1, NO_KMS);
                Vec::new()
            }
            _ => {
                self.known(provider.0, &provider.1, &[]);
                Vec::new()
            }
        }
    }

    fn keys(
        &mut self,
        (value, path): (&Value, Path),
        provider: &str,
        cipher: fn(&[u8]) -> Option<Box<dyn Cipher>>,
        lengths: &[usize],
    ) -> Vec<Arc<Key>> {
        self.known(value, &path, &["keys"]);
        let keys = self.list(value, &path, "keys");
        let path = path.child("keys");
        if keys.is_empty() {
            self.errors.required(&path, "at least one keys is required");
        }
        let mut all = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let path = path.index(at);
            self.known(key, &path, &["name", "secret"]);
            let name = self.text(key, &path, "name");
            if name.is_empty() {
                self.errors.required(&path.child("name"), "name is a mandatory field for a key");
            }
            let Some(secret) = self.secret(key, &path, lengths) else { continue };
            all.extend(cipher(&secret).map(|cipher| Arc::new(Key::new(provider, &name, &secret, cipher))));
        }
        all
    }

    /// The bytes of a key, of one of these lengths.
    fn secret(&mut self, value: &Value, path: &Path, lengths: &[usize]) -> Option<Vec<u8>> {
        let text = self.text(value, path, "secret");
        let path = path.child("secret");
        if text.is_empty() {
            self.errors.required(&path, "secret is a mandatory field for a key");
            return None;
        }
        let Ok(secret) = STANDARD.decode(text) else {
            self.errors.invalid(&path, "REDACTED", "secrets must be base64 encoded");
            return None;
        };
        if !lengths.contains(&secret.len()) {
            let expected: Vec<String> = lengths.iter().map(ToString::to_string).collect();
            let (got, expected) = (secret.len(), expected.join(" "));
            let detail =
                format!("secret is not of the expected length, got {got}, expected one of [{expected}]");
            self.errors.invalid(&path, "REDACTED", &detail);
            return None;
        }
        Some(secret)
    }
}
