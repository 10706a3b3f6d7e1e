//! Who is asked whether something may be done, and in which order: the AuthorizationConfiguration of
//! `--authorization-config`, or what the older flags come to.

mod check;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wherry_schema::{DecodeError, Format, Value};

use super::webhook::conditions::Conditions;
use crate::outbound::kubeconfig::{Receiver, ReceiverError};
use crate::validation::Errors;
use check::{Checked, authorizers, check_names, check_shape};

/// A webhook is never waited for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who is asked, one after the other.
#[derive(Debug, Clone)]
pub struct AuthorizationConfiguration {
    pub(super) authorizers: Vec<Configured>,
    /// The file it is from, which may change.
    pub(super) file: Option<PathBuf>,
    /// What the file said.
    pub(super) said: Value,
}

/// One who is asked.
#[derive(Debug, Clone)]
pub(super) struct Configured {
    pub(super) name: String,
    pub(super) means: Means,
}

/// How one decides.
#[derive(Debug, Clone)]
pub(super) enum Means {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Arc<WebhookConfig>),
}

impl Means {
    /// The type as configurations name it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Webhook(_) => "Webhook",
        }
    }

    fn plain(name: &str) -> Option<Self> {
        let plain = [Self::AlwaysAllow, Self::AlwaysDeny, Self::Node, Self::Rbac];
        plain.into_iter().find(|one| one.name() == name)
    }
}

/// A webhook that decides.
#[derive(Debug)]
pub(super) struct WebhookConfig {
    pub(super) receiver: Receiver,
    pub(super) timeout: Duration,
    /// How long a yes counts; not beyond the question if zero.
    pub(super) authorized_ttl: Duration,
    /// The same of a no.
    pub(super) unauthorized_ttl: Duration,
    /// Whether reviews are of `v1beta1`.
    pub(super) beta: bool,
    /// Whether it is a no if no answer comes; else others decide.
    pub(super) deny_on_error: bool,
    pub(super) conditions: Conditions,
}

/// The flags of a webhook: `--authorization-webhook-*`.
#[derive(Debug, Clone)]
pub struct WebhookFlags {
    /// Its kubeconfig.
    pub config_file: PathBuf,
    /// The version of reviews: `v1` or `v1beta1`.
    pub version: String,
    /// How long a yes counts.
    pub authorized_ttl: Duration,
    /// How long a no counts.
    pub unauthorized_ttl: Duration,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no configuration.
    #[error("failed to load AuthorizationConfiguration from file: {0}")]
    Load(String),
    /// It is no YAML.
    #[error("failed to load AuthorizationConfiguration from file")]
    Syntax(#[from] DecodeError),
    /// It breaks rules.
    #[error("{0}")]
    Invalid(String),
    /// The kubeconfig of a webhook cannot be used.
    #[error("cannot use the kubeconfig of the authorizer {name:?}")]
    Webhook {
        /// Which webhook.
        name: String,
        /// Why.
        source: ReceiverError,
    },
}

impl AuthorizationConfiguration {
    /// Reads a configuration; the file is read again whenever it changes.
    pub fn load(path: &Path) -> Result<Self, AuthorizationError> {
        let bytes = std::fs::read(path)
            .map_err(|source| AuthorizationError::File { path: path.to_owned(), source })?;
        Ok(Self { file: Some(path.to_owned()), ..Self::parse(&bytes)? })
    }

    /// Reads a configuration from bytes that do not change.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthorizationError> {
        if bytes.is_empty() {
            return Err(AuthorizationError::Load("no configuration data".to_owned()));
        }
        let said = wherry_schema::decode::parse(bytes, Format::Yaml)?;
        check_shape(&said)?;
        let mut errors = Errors::default();
        let authorizers = authorizers(&said, &mut errors);
        if !errors.is_empty() {
            return Err(AuthorizationError::Invalid(errors.to_string()));
        }
        check_names(&authorizers)?;
        let authorizers: Result<_, _> = authorizers.into_iter().map(Checked::load).collect();
        Ok(Self { authorizers: authorizers?, file: None, said })
    }

    /// The same means in this order, under their usual names. The webhook is the one that the flags name.
    pub fn of_modes(modes: &[String], webhook: Option<&WebhookFlags>) -> Result<Self, AuthorizationError> {
        let invalid = |why: String| Err(AuthorizationError::Invalid(why));
        let mut authorizers: Vec<Configured> = Vec::new();
        for mode in modes {
            let means = match (Means::plain(mode), webhook) {
                (Some(plain), _) => plain,
                (None, Some(flags)) if mode == "Webhook" => Means::Webhook(Arc::new(flags.load()?)),
                (None, None) if mode == "Webhook" => {
                    return invalid(
                        "authorization-mode Webhook's authorization config file not passed".to_owned(),
                    );
                }
                _ if mode == "ABAC" => return invalid(no_abac()),
                _ => return invalid(format!("authorization-mode {mode:?} is not a valid mode")),
            };
            if authorizers.iter().any(|one| one.means.name() == mode) {
                return invalid(format!("authorization-mode {modes:?} has mode specified more than once"));
            }
            let name = if mode == "Webhook" { "default".to_owned() } else { mode.to_lowercase() };
            authorizers.push(Configured { name, means });
        }
        if authorizers.is_empty() {
            return invalid("at least one authorization-mode must be passed".to_owned());
        }
        if webhook.is_some() && !modes.iter().any(|mode| mode == "Webhook") {
            let why = "cannot specify --authorization-webhook-config-file without mode Webhook";
            return invalid(why.to_owned());
        }
        Ok(Self { authorizers, file: None, said: Value::Null })
    }

    /// These means in this order.
    pub(crate) fn plain(names: &[&str]) -> Self {
        let named =
            |name: &&str| Means::plain(name).map(|means| Configured { name: name.to_lowercase(), means });
        Self { authorizers: names.iter().filter_map(named).collect(), file: None, said: Value::Null }
    }

    /// Refuses what may take the place of another configuration only after a restart.
    pub(super) fn check_successor(&self, next: &Self) -> Result<(), String> {
        let types = |of: &Self| -> Vec<&'static str> {
            let plain = of.authorizers.iter().filter(|one| !matches!(one.means, Means::Webhook(_)));
            let mut names: Vec<&str> = plain.map(|one| one.means.name()).collect();
            names.sort_unstable();
            names
        };
        let (before, after) = (types(self), types(next));
        let missing: Vec<&str> = before.iter().filter(|one| !after.contains(one)).copied().collect();
        if !missing.is_empty() {
            return Err(format!("missing required types: [{}]", missing.join(" ")));
        }
        let new = after.iter().find(|one| matches!(**one, "Node" | "RBAC") && !before.contains(one));
        match new {
            Some(new) => Err(format!(
                "authorizer type {new} is not allowed if it was not enabled at initial server startup"
            )),
            None => Ok(()),
        }
    }
}

impl WebhookFlags {
    fn load(&self) -> Result<WebhookConfig, AuthorizationError> {
        let beta = match self.version.as_str() {
            "v1" => false,
            "v1beta1" => true,
            other => {
                return Err(AuthorizationError::Invalid(format!(
                    "unsupported webhook authorizer version {other:?}, supported versions are \"v1\", \"v1beta1\""
                )));
            }
        };
        Ok(WebhookConfig {
            receiver: receiver("default", &self.config_file)?,
            timeout: PATIENCE,
            authorized_ttl: self.authorized_ttl,
            unauthorized_ttl: self.unauthorized_ttl,
            beta,
            deny_on_error: false,
            conditions: Conditions::default(),
        })
    }
}

fn no_abac() -> String {
    "authorizer type ABAC is not built; write its policies as roles and bindings, or ask a webhook".to_owned()
}

fn receiver(name: &str, path: &Path) -> Result<Receiver, AuthorizationError> {
    Receiver::load(path).map_err(|source| AuthorizationError::Webhook { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests;
