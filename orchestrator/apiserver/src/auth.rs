//! Who asks, and whether they may.
//!
//! A client certificate names its user in the common name and the user's groups in the organizations; a bearer token
//! is looked up in the token file, or is that of a ServiceAccount. Everybody may ask about the server's health and
//! version; beyond that `authorize` decides.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use wherry_api::kinds::Kind;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authorize::{Attributes, Authorizer, Object, Resource};
use crate::error::Failure;
use crate::request::path::{Route, Target};
use crate::service_accounts;
use crate::service_accounts::jwt::Refused;
use crate::state::State;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of all ServiceAccounts; its members may read how tokens are checked.
pub(crate) const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// The key of what tells apart the credentials of one user.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who sent a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// What tells apart users of one name over time; may be empty.
    pub uid: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// What else is known of the user.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user of this name in these groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// A user who may do everything, for parts of the control plane in this process.
    pub fn master(name: &str) -> Self {
        Self::new(name, &[MASTERS])
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
        let digits = Sha256::digest(der).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let print: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
        let id = format!("X509SHA256={print}");
        Some(Self { name, groups, uid: String::new(), extra: credential(id) })
    }
}

/// What is known of a user by the credential that was presented.
pub(crate) fn credential(id: String) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![id])])
}

/// Who has a token.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// The user.
    pub(crate) user: UserInfo,
    /// Those of the audiences asked for that the token is meant for.
    pub(crate) audiences: Vec<String>,
}

/// Who has this token, which must be meant for one of the audiences; for this API where none are named.
pub(crate) fn bearer_of(
    state: &State,
    token: &str,
    audiences: Option<&Vec<String>>,
) -> Result<Bearer, Refused> {
    let own: Vec<String> = state.issuer.iter().map(|issuer| issuer.url().to_owned()).collect();
    let asked = audiences.unwrap_or(&own);
    if let Some(user) = state.tokens.user(token) {
        let audiences: Vec<String> = asked.iter().filter(|one| own.contains(one)).cloned().collect();
        if audiences.is_empty() && !asked.is_empty() {
            return Err(Refused::Unknown);
        }
        return Ok(Bearer { user: user.clone(), audiences });
    }
    let issuer = state.issuer.as_ref().ok_or(Refused::Unknown)?;
    service_accounts::authenticate::bearer(state, issuer, token, asked)
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
    bearer_of(state, token, None).map(|bearer| Some(bearer.user)).map_err(|refused| {
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
    authorizer: &Authorizer,
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
    let object = match route {
        Route::Resource(target) => Object::Resource(Resource {
            group: target.kind.group,
            plural: target.kind.plural,
            part: target.subresource.map_or("", |sub| sub.name),
            namespace: target.namespace.as_deref().unwrap_or_default(),
            name: target.name.as_deref().unwrap_or_default(),
        }),
        _ => Object::Path(path),
    };
    let decision = authorizer.decide(&Attributes { user, verb, object });
    if decision.allowed {
        return Ok(());
    }
    let reason = if decision.reason.is_empty() { String::new() } else { format!(": {}", decision.reason) };
    Err(match route {
        Route::Resource(target) => refuse_resource(user, target, verb, &reason),
        _ => Failure::Forbidden {
            message: format!("forbidden: User {:?} cannot {verb} path {path:?}{reason}", user.name),
            group: String::new(),
            resource: String::new(),
            name: String::new(),
            causes: Vec::new(),
        },
    })
}

fn refuse_resource(user: &UserInfo, target: &Target, verb: &str, reason: &str) -> Failure {
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
            "{subject} is forbidden: User {:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}{reason}",
            user.name
        ),
        group: group.to_owned(),
        resource: plural.to_owned(),
        name,
        causes: Vec::new(),
    }
}
