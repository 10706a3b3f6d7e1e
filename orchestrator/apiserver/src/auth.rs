//! Who asks, and whether they may.
//!
//! A client certificate names its user in the common name and the user's groups in the organizations; a bearer token
//! is looked up in the token file, or is that of a ServiceAccount. Everybody may ask about the server's health and version; beyond that one rule
//! decides for now ([`Authorization`]).

use http::HeaderMap;
use http::header::AUTHORIZATION;
use wherry_api::kinds::Kind;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Authorization;
use crate::error::Failure;
use crate::request::path::{Route, Target};
use crate::service_accounts;
use crate::state::State;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of all ServiceAccounts; its members may read how tokens are checked.
pub(crate) const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// What tells apart users of one name over time; may be empty.
    pub uid: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

impl UserInfo {
    /// A user who may do everything, for parts of the control plane in this process.
    pub fn master(name: &str) -> Self {
        Self { name: name.to_owned(), uid: String::new(), groups: vec![MASTERS.to_owned()] }
    }

    /// The groups the user is in, with the one of everybody who is known.
    pub(crate) fn all_groups(&self) -> Vec<String> {
        let mut groups = self.groups.clone();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        groups
    }

    /// The user a client certificate names; its chain has been verified by TLS. None without a common name.
    pub(crate) fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
        Some(Self { name, uid: String::new(), groups })
    }
}

/// The user a request comes from: who its connection says, else whose token it carries. An unknown token is refused.
pub(crate) fn authenticate(
    state: &State,
    connection: Option<UserInfo>,
    headers: &HeaderMap,
) -> Result<Option<UserInfo>, Failure> {
    if connection.is_some() {
        return Ok(connection);
    }
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(bearer).ok_or(Failure::Unauthorized)?;
    if let Some(user) = state.tokens.user(token) {
        return Ok(Some(user.clone()));
    }
    let issuer = state.issuer.as_ref().ok_or(Failure::Unauthorized)?;
    let user = service_accounts::authenticate::user(state, issuer, token);
    user.map(Some).map_err(|refused| {
        tracing::debug!(reason = %refused, "a bearer token is refused");
        Failure::Unauthorized
    })
}

/// The token of an `Authorization` header (RFC 6750).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|t| !t.is_empty())
}

/// Refuses what the user may not do.
pub(crate) fn authorize(
    rule: Authorization,
    user: Option<&UserInfo>,
    route: &Route,
    verb: &str,
    path: &str,
) -> Result<(), Failure> {
    if matches!(route, Route::Health(..) | Route::Version) {
        return Ok(());
    }
    let user = user.ok_or(Failure::Unauthorized)?;
    let discovers = matches!(route, Route::OpenIdConfiguration | Route::OpenIdKeys);
    if discovers && user.groups.iter().any(|g| g == SERVICE_ACCOUNTS) {
        return Ok(());
    }
    if rule == Authorization::AlwaysAllow || user.groups.iter().any(|g| g == MASTERS) {
        return Ok(());
    }
    Err(match route {
        Route::Resource(target) => refuse_resource(user, target, verb),
        _ => Failure::Forbidden {
            message: format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name),
            group: String::new(),
            resource: String::new(),
            name: String::new(),
            causes: Vec::new(),
        },
    })
}

fn refuse_resource(user: &UserInfo, target: &Target, verb: &str) -> Failure {
    let Kind { group, plural, .. } = *target.kind;
    let name = target.name.clone().unwrap_or_default();
    let resource = match target.subresource {
        Some(sub) => format!("{plural}/{}", sub.name),
        None => plural.to_owned(),
    };
    let scope = match target.namespace.as_deref() {
        Some(namespace) => format!("in the namespace {namespace:?}"),
        None => "at the cluster scope".to_owned(),
    };
    let subject = target.kind.group_resource();
    let subject = if name.is_empty() { subject } else { format!("{subject} {name:?}") };
    Failure::Forbidden {
        message: format!(
            "{subject} is forbidden: User {:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}",
            user.name
        ),
        group: group.to_owned(),
        resource: plural.to_owned(),
        name,
        causes: Vec::new(),
    }
}
