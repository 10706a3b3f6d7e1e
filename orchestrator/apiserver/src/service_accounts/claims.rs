//! What a ServiceAccount token says.

use serde::{Deserialize, Serialize};
use wherry_api::names;

/// The group of all ServiceAccounts.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// The issuer of tokens that Secrets hold.
pub(crate) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// The claims of a token that a Secret holds. It lives as long as its Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegacyClaims {
    iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub(crate) namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub(crate) secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub(crate) account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub(crate) uid: String,
    pub(crate) sub: String,
}

impl LegacyClaims {
    /// What the token of a Secret says of the ServiceAccount of this name and uid.
    pub(crate) fn new(namespace: &str, secret: &str, (account, uid): (&str, &str)) -> Self {
        Self {
            iss: LEGACY_ISSUER.to_owned(),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            uid: uid.to_owned(),
            sub: user_name(namespace, account),
        }
    }
}

/// The claims of a token, as Kubernetes names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// For which servers it is.
    #[serde(default)]
    pub(crate) aud: Vec<String>,
    /// Until when, in seconds of the epoch.
    pub(crate) exp: i64,
    /// Since when it exists.
    pub(crate) iat: i64,
    /// Who made it.
    pub(crate) iss: String,
    /// What tells it apart from all others.
    pub(crate) jti: String,
    /// The objects it names.
    #[serde(rename = "kubernetes.io")]
    pub(crate) objects: Objects,
    /// From when it counts.
    pub(crate) nbf: i64,
    /// The user's name.
    pub(crate) sub: String,
}

/// The objects a token names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    /// The namespace of the ServiceAccount and of what the token is bound to.
    pub(crate) namespace: String,
    /// Where the Pod runs, or the Node the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    /// The Pod it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    /// The Secret it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    /// Whose token it is.
    pub(crate) serviceaccount: Reference,
    /// When its holder should have got another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// One object, as it was when the token was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    /// Its name.
    pub(crate) name: String,
    /// Its uid; an object of the same name that came later has another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// The name under which a ServiceAccount is a user.
pub(crate) fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The namespace and name of the ServiceAccount that is known as this user.
pub(crate) fn split_user_name(user: &str) -> Option<(String, String)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let valid = names::dns1123_label(namespace).is_ok() && names::dns1123_subdomain(name).is_ok();
    valid.then(|| (namespace.to_owned(), name.to_owned()))
}

/// The groups of the ServiceAccounts of a namespace, besides that of everybody who is known.
pub(crate) fn user_groups(namespace: &str) -> Vec<String> {
    vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}
