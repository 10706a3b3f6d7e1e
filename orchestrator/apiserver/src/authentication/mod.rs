//! Users whom others vouch for: OpenID Connect, and who may ask without saying who they are.
//!
//! # Flow
//! [`document`] is what a file (or flags, [`flags`]) says, in the words of `AuthenticationConfiguration`; [`validate`]
//! checks it and compiles its expressions into [`rules`], once. An [`issuer`] takes a token whose `iss` is its own: its
//! signature by the keys that [`provider`] fetches, then who it is about by the rules. [`reload`] follows the file.
//! [`webhook`] asks another program about tokens that nobody here knows.
//!
//! # Guarantees
//! A file that cannot be used changes nothing: what was in force stays. Issuers that a new configuration has unchanged
//! keep their keys. Whoever has no token pays nothing.

mod document;
mod flags;
mod issuer;
mod provider;
mod reload;
mod rules;
mod validate;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::auth::{Bearer, Refused};
use crate::outbound::kubeconfig::ReceiverError;
use crate::service_accounts::issuer_of;
use crate::state::State;
use crate::validation::Errors;
use document::{Anonymous, Document};
pub use flags::OidcFlags;
pub(crate) use issuer::{BOUNDS, Issuer};
use reload::{Checked, Version};
use webhook::Webhook;
pub use webhook::WebhookOptions;

const EXCLUSIVE: &str = "authentication-config file and oidc-* flags are mutually exclusive";
const ANONYMOUS_TWICE: &str = "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file";

/// Why users cannot be told by others as configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is no AuthenticationConfiguration.
    #[error("the authentication configuration is malformed: {0}")]
    Malformed(String),
    /// It breaks rules.
    #[error("the authentication configuration is invalid: {0}")]
    Invalid(String),
    /// Flags contradict each other.
    #[error("{0}")]
    Flags(&'static str),
    /// A flag names an algorithm that is not known.
    #[error("oidc: unsupported signing alg: {0:?}")]
    Algorithm(String),
    /// The kubeconfig of the webhook cannot be used.
    #[error("the configuration of the token webhook cannot be used")]
    Webhook(#[from] ReceiverError),
    /// The token webhook speaks another version.
    #[error("unsupported authentication webhook version {0:?}, supported versions are \"v1\", \"v1beta1\"")]
    Version(String),
}

/// What is in force.
#[derive(Default)]
struct InForce {
    issuers: Vec<Arc<Issuer>>,
    anonymous: Option<Anonymous>,
}

/// How the outcomes of reading the file again are counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reloads {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Seconds of the epoch of the last of each.
    pub(crate) last: [Option<i64>; 2],
}

/// How users are known, besides by certificates and the tokens of this server.
#[derive(Debug, Clone, Default)]
pub struct AuthenticationOptions {
    /// A file with an AuthenticationConfiguration.
    pub file: Option<PathBuf>,
    /// One issuer, if there is no file.
    pub oidc: Option<OidcFlags>,
    /// Whether those may ask who do not say who they are, if no file says; they may by default.
    pub anonymous: Option<bool>,
    /// A program that is asked about tokens that nobody here knows.
    pub webhook: Option<WebhookOptions>,
    /// Whether bootstrap tokens count.
    pub bootstrap_tokens: bool,
    /// Issuers that nobody may configure: those of this server.
    pub disallowed: Vec<String>,
}

/// Who vouches for users besides this server. Clones share what is in force.
#[derive(Clone, Default)]
pub struct Authentication(Arc<Inner>);

#[derive(Default)]
struct Inner {
    options: AuthenticationOptions,
    in_force: RwLock<Arc<InForce>>,
    checked: Mutex<Checked>,
    reloads: Mutex<Reloads>,
    webhook: Option<Webhook>,
}

impl Authentication {
    /// Puts in force what is configured.
    pub fn open(options: AuthenticationOptions) -> Result<Self, AuthenticationError> {
        let webhook = options.webhook.as_ref().map(Webhook::open).transpose()?;
        let checked = Mutex::new(Checked::first(options.file.as_deref().and_then(Version::of)));
        let inner = Inner { options, checked, webhook, ..Inner::default() };
        match (&inner.options.file, &inner.options.oidc) {
            (Some(_), Some(_)) => return Err(AuthenticationError::Flags(EXCLUSIVE)),
            (Some(_), None) => inner.load()?,
            (None, Some(flags)) => {
                let (document, algorithms) = flags.document()?;
                inner.apply(&document, &algorithms)?;
            }
            (None, None) => {}
        }
        if inner.options.anonymous.is_some() && inner.in_force.read().anonymous.is_some() {
            return Err(AuthenticationError::Flags(ANONYMOUS_TWICE));
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Whether bootstrap tokens count.
    pub(crate) fn takes_bootstrap_tokens(&self) -> bool {
        self.0.options.bootstrap_tokens
    }

    /// Whether those may ask for a path who do not say who they are.
    pub(crate) fn admits_anonymous(&self, path: &str) -> bool {
        match &self.0.in_force.read().anonymous {
            Some(anonymous) => anonymous.admits(path),
            None => self.0.options.anonymous.unwrap_or(true),
        }
    }

    /// How the file was read again.
    pub(crate) fn reloads(&self) -> Option<Reloads> {
        self.0.options.file.as_ref().map(|_| self.0.reloads.lock().clone())
    }

    /// The issuers whose tokens are taken.
    pub(crate) fn issuers(&self) -> Vec<Arc<Issuer>> {
        self.0.in_force.read().issuers.clone()
    }

    /// Whether anybody is to be asked about a token that is not one of this server's.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.webhook.is_none() && self.0.in_force.read().issuers.is_empty()
    }

    /// Who has a token that somebody else made, and for which of the audiences it is.
    pub(crate) async fn bearer(
        &self,
        state: &State,
        token: &str,
        (asked, own): (&[String], &[String]),
    ) -> Result<Bearer, Refused> {
        let issuer = crate::jose::Compact::parse(token).and_then(|parts| issuer_of(&parts.payload));
        let found = issuer.and_then(|url| self.issuers().into_iter().find(|one| one.is_called(&url)));
        let mut refused = Refused::Unknown;
        // Whoever vouches for a user says nothing of audiences: it is those of this server.
        let audiences: Vec<String> = asked.iter().filter(|one| own.contains(one)).cloned().collect();
        if let Some(issuer) = found.filter(|_| asked.is_empty() || !audiences.is_empty()) {
            match issuer.user(state, token).await {
                Ok(user) => return Ok(Bearer::new(user, audiences)),
                Err(why) => refused = Refused::Told(why),
            }
        }
        match &self.0.webhook {
            Some(webhook) => webhook.bearer(state, token, (asked, own)).await.map_err(|why| why.or(refused)),
            None => Err(refused),
        }
    }
}

impl Inner {
    /// Reads the file and puts it in force.
    fn load(&self) -> Result<(), AuthenticationError> {
        let Some(path) = &self.options.file else { return Ok(()) };
        let text = std::fs::read(path);
        let text = text.map_err(|source| AuthenticationError::Read { path: path.clone(), source })?;
        let algorithms: Vec<_> =
            crate::jose::Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm).collect();
        self.apply(&Document::parse(&text)?, &algorithms)
    }

    fn apply(
        &self,
        document: &Document,
        algorithms: &[crate::jose::Algorithm],
    ) -> Result<(), AuthenticationError> {
        let mut errors = Errors::default();
        let compiled = validate::check(document, &self.options.disallowed, &mut errors);
        if !errors.is_empty() {
            return Err(AuthenticationError::Invalid(errors.to_string()));
        }
        let before = Arc::clone(&self.in_force.read());
        let mut issuers = Vec::with_capacity(compiled.len());
        for (authenticator, rules) in document.jwt.iter().zip(compiled) {
            let same = before.issuers.iter().find(|issuer| issuer.is_same(authenticator, algorithms));
            issuers.push(match same {
                Some(issuer) => Arc::clone(issuer),
                None => Arc::new(
                    Issuer::new(authenticator, rules, algorithms).map_err(AuthenticationError::Invalid)?,
                ),
            });
        }
        *self.in_force.write() = Arc::new(InForce { issuers, anonymous: document.anonymous.clone() });
        Ok(())
    }
}
