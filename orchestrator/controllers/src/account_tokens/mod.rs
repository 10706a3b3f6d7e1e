//! Tokens of ServiceAccounts in Secrets, for programs that cannot ask for one.
//!
//! [`fill`] gives each Secret of type `kubernetes.io/service-account-token` its token, and takes it away with its
//! ServiceAccount. [`cleaner`] ends tokens that ServiceAccounts had made for them and nobody has used for a year.
//!
//! The key that signs tokens stays with whoever runs the controllers: they are lent a [`TokenMinter`], as Kubernetes'
//! controller manager is given the key.

mod cleaner;
mod fill;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};

pub(crate) use cleaner::CleanerController;
pub(crate) use fill::FillController;

/// The annotations that say whose token it is.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// What a token is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSubject<'a> {
    /// Where the Secret and the ServiceAccount are.
    pub namespace: &'a str,
    /// The Secret's name.
    pub secret: &'a str,
    /// The ServiceAccount's name.
    pub account: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// Makes a token; none if it cannot be signed.
pub type TokenMinter = Arc<dyn Fn(&TokenSubject<'_>) -> Option<String> + Send + Sync>;

fn annotation<'s>(secret: &'s Secret, name: &str) -> &'s str {
    let annotations: Option<&BTreeMap<String, String>> = secret.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(name)).map(String::as_str).unwrap_or_default()
}

/// Whether the ServiceAccount is the one that the Secret names.
fn owns(account: &ServiceAccount, secret: &Secret) -> bool {
    let uid = annotation(secret, ACCOUNT_UID);
    account.metadata.name.as_deref() == Some(annotation(secret, ACCOUNT_NAME))
        && (uid.is_empty() || account.metadata.uid.as_deref() == Some(uid))
}

/// Whether the ServiceAccount lists a Secret of this name.
fn refers(account: &ServiceAccount, secret: &str) -> bool {
    account.secrets.iter().flatten().any(|reference| reference.name.as_deref() == Some(secret))
}
