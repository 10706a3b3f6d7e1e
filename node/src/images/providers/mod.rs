//! Plugins that know accounts of registries: programs that are asked for an image, as kubelet's credential providers.
//!
//! ```text
//! an image -> providers whose patterns match it -> what is remembered, else the program (stdin: request, stdout: response)
//!          -> accounts by pattern; the longest pattern that matches the image is for it
//! ```
//!
//! # Guarantees
//! A program runs for a minute at most, answers at most 1 MiB, and once at a time for one question. What it answers goes to no
//! log. A program that fails keeps nobody from pulling: the image is asked for without an account.
//!
//! Reading order: `config` (the file), `pattern` (which images are meant), `exec` (the programs), `cache` (what is remembered).

mod cache;
mod config;
mod exec;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tracing::warn;
use wherry_api::clock::Clock;

use super::registry::Account;
use crate::context::chain;
use crate::tokens::Tokens;
use cache::Cache;
pub use config::ProvidersError;
use config::{Provider, TokenCache};
use exec::{ProviderError, Request};
use pattern::Pattern;

/// The plugins of a node.
#[derive(Default)]
pub struct CredentialProviders {
    providers: Vec<Provider>,
    cache: Cache,
}

/// Who asks for an image.
pub(crate) struct Asker<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) tokens: &'a Tokens,
    pub(crate) clock: &'a dyn Clock,
}

/// What a provider is told of the ServiceAccount of a Pod.
#[derive(Default)]
struct ServiceAccount {
    token: Option<String>,
    /// Those of its annotations that the provider wants to know.
    annotations: BTreeMap<String, String>,
    /// What its answers are remembered for, if they are not for everybody.
    key: String,
}

impl CredentialProviders {
    /// Reads a CredentialProviderConfig; its programs are in `bin_dir`.
    pub fn read(file: &Path, bin_dir: &Path) -> Result<Self, ProvidersError> {
        Ok(Self { providers: config::read(file, bin_dir)?, cache: Cache::default() })
    }

    /// The account for an image, by its complete name without digest and tag.
    pub(crate) async fn account(&self, image: &str, asker: &Asker<'_>) -> Option<Account> {
        let mut best: Option<(usize, Account)> = None;
        for provider in self.providers.iter().filter(|provider| provider.is_for(image)) {
            match self.ask(provider, image, asker).await {
                Ok(Some((length, auth))) if best.as_ref().is_none_or(|(known, _)| *known < length) => {
                    best = Some((length, auth));
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(provider = provider.name, image, error = %chain(&error), "no account of a registry");
                }
            }
        }
        best.map(|(_, auth)| auth)
    }

    /// What one provider knows for the image, and how long the pattern is that says so.
    async fn ask(
        &self,
        provider: &Provider,
        image: &str,
        asker: &Asker<'_>,
    ) -> Result<Option<(usize, Account)>, ProviderError> {
        let Some(account) = account_of(provider, asker).await? else { return Ok(None) };
        let scope = format!("{}\n{}", provider.name, account.key);
        // One program at a time for one scope: whoever waited finds what the other learned.
        let _turn = self.cache.turn(&scope).await;
        let answer = if let Some(known) = self.cache.find(&scope, image, asker.clock.now()) {
            known
        } else {
            let request = Request::new(image, account.token.as_deref(), &account.annotations);
            let answer = Arc::new(exec::run(provider, &request).await?);
            let lasts = answer.lasts.unwrap_or(provider.default_duration);
            self.cache.keep(&scope, image, Arc::clone(&answer), (asker.clock.now(), lasts));
            answer
        };
        let fitting = answer.accounts.iter().filter_map(|(pattern, user, password)| {
            let parsed = Pattern::parse(pattern).ok().filter(|parsed| parsed.matches(image))?;
            Some((parsed.length(), Account::Password(user.clone(), password.clone())))
        });
        Ok(fitting.max_by_key(|(length, _)| *length))
    }
}

/// What a provider is told of the Pod's account; nothing if it does not want to be asked for such a Pod.
async fn account_of(provider: &Provider, asker: &Asker<'_>) -> Result<Option<ServiceAccount>, ProviderError> {
    let Some(wanted) = &provider.token else { return Ok(Some(ServiceAccount::default())) };
    let name = asker.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok((!wanted.required).then(ServiceAccount::default));
    };
    let object = asker.tokens.account(asker.pod).await;
    let object = object
        .map_err(|source| ProviderError::Account { name: name.to_owned(), source: Box::new(source) })?;
    let all = object.metadata.annotations.unwrap_or_default();
    if wanted.needed.iter().any(|key| !all.contains_key(key)) {
        // Who runs such Pods has not asked for it.
        return Ok(None);
    }
    let known = wanted.needed.iter().chain(&wanted.welcome);
    let annotations: BTreeMap<String, String> =
        known.filter_map(|key| Some((key.clone(), all.get(key)?.clone()))).collect();
    let token = asker.tokens.get(asker.pod, &wanted.audience, None).await?.text;
    let (namespace, uid) = (&asker.pod.metadata.namespace, &object.metadata.uid);
    let one = (wanted.cache == TokenCache::Token).then_some(&token);
    let key = serde_json::json!([namespace, name, uid, annotations, one]).to_string();
    Ok(Some(ServiceAccount { token: Some(token), annotations, key }))
}
