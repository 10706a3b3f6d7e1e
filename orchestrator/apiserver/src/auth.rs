//! Who asks.
//!
//! A client certificate names its user in the common name and the user's groups in the organizations; a bearer token
//! is looked up in the token file, or is a bootstrap token or that of a ServiceAccount. Who says nothing is `system:anonymous`, if roles and
//! bindings decide what that user may do.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bootstrap_tokens;
use crate::error::Failure;
use crate::service_accounts;
use crate::service_accounts::jwt::Refused;
use crate::state::State;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user that nobody in particular is.
pub const ANONYMOUS: &str = "system:anonymous";

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

    /// Puts the user into a group.
    pub(crate) fn join(&mut self, group: &str) {
        if !self.groups.iter().any(|one| one == group) {
            self.groups.push(group.to_owned());
        }
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

/// Tells of a connection that the certificate it began with has ended since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expired;

/// When a client certificate ends.
pub(crate) fn ends(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
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
    let known = state.tokens.user(token).cloned().map(Ok);
    if let Some(user) = known.or_else(|| bootstrap_tokens::user(state, token)) {
        let audiences: Vec<String> = asked.iter().filter(|one| own.contains(one)).cloned().collect();
        if audiences.is_empty() && !asked.is_empty() {
            return Err(Refused::Unknown);
        }
        return Ok(Bearer { user: user?, audiences });
    }
    let issuer = state.issuer.as_ref().ok_or(Refused::Unknown)?;
    service_accounts::authenticate::bearer(state, issuer, token, asked)
}

/// The user a request comes from: who its connection says, else whose token it carries, else nobody in particular
/// where such may ask. An unknown token is refused.
pub(crate) fn authenticate(
    state: &State,
    connection: Option<UserInfo>,
    headers: &HeaderMap,
) -> Result<UserInfo, Failure> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let mut user = match (connection, token) {
        (Some(user), _) => user,
        (None, Some(token)) => {
            bearer_of(state, token, None).map(|bearer| bearer.user).map_err(|refused| {
                tracing::debug!(reason = %refused, "a bearer token is refused");
                Failure::Unauthorized
            })?
        }
        (None, None) if state.authorizer.admits_anonymous() => {
            return Ok(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED]));
        }
        (None, None) => return Err(Failure::Unauthorized),
    };
    user.join(AUTHENTICATED);
    Ok(user)
}

/// The token of an `Authorization` header (RFC 6750).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|t| !t.is_empty())
}
