//! Who asks.
//!
//! A client certificate names its user in the common name and the user's groups in the organizations; a bearer token
//! is looked up in the token file, or is a bootstrap token, that of a ServiceAccount, or one that others vouch for
//! (`authentication`). Who says nothing is `system:anonymous`, if roles and
//! bindings decide what that user may do.

use std::collections::BTreeMap;

use http::header::AUTHORIZATION;
use http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bootstrap_tokens;
use crate::error::Failure;
use crate::hex::hex;
use crate::notes::Notes;
use crate::service_accounts;
use crate::service_accounts::legacy::Used;
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
        let id = format!("X509SHA256={}", hex(&Sha256::digest(der)));
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

/// Why a token is refused. Only those who may review tokens learn it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("invalid bearer token")]
    Unknown,
    #[error("token audiences {} is invalid for the target audiences {}", quoted(.of), quoted(.asked))]
    Audience { of: Vec<String>, asked: Vec<String> },
    #[error("service account token is not valid yet")]
    Early,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token has been invalidated")]
    Gone,
    /// What somebody else said of it.
    #[error("{0}")]
    Told(String),
}

impl Refused {
    /// This, or the other where this says nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }
}

/// A list as Go shows it.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

/// Who has a token.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// The user.
    pub(crate) user: UserInfo,
    /// Those of the audiences asked for that the token is meant for.
    pub(crate) audiences: Vec<String>,
    /// What there is to say of a token that a Secret holds.
    pub(crate) legacy: Option<Box<Used>>,
    /// By how many seconds its holder should have got another token.
    pub(crate) stale: Option<i64>,
}

impl Bearer {
    /// A user with a token for these audiences.
    pub(crate) fn new(user: UserInfo, audiences: Vec<String>) -> Self {
        Self { user, audiences, legacy: None, stale: None }
    }

    /// Tells whoever used the token what to use instead, and the audit log that it is an old one.
    fn tell(&self, notes: &Notes) {
        if let Some(used) = &self.legacy {
            used.tell(notes);
        }
        if let Some(seconds) = self.stale {
            let text = format!("subject: {}, seconds after warning threshold: {seconds}", self.user.name);
            notes.annotate("authentication.k8s.io/stale-token".to_owned(), text);
        }
    }
}

/// Who has this token, which must be meant for one of the audiences; for this API where none are named.
pub(crate) async fn bearer_of(
    state: &State,
    token: &str,
    audiences: Option<&[String]>,
) -> Result<Bearer, Refused> {
    let own = state.issuer.as_ref().map_or(&[][..], |issuer| issuer.audiences());
    let asked = audiences.unwrap_or(own);
    let bearer = local(state, token, asked, own);
    let others = &state.authentication;
    if let Ok(Bearer { legacy: Some(used), .. }) = &bearer {
        Box::pin(used.note(state)).await;
        if let Some(why) = &used.invalid {
            return Err(Refused::Told(why.clone()));
        }
    }
    if !matches!(bearer, Err(Refused::Unknown)) {
        return bearer;
    }
    others.refresh(state.clock.now());
    if others.is_empty() {
        return bearer;
    }
    // Boxed, because few requests come with such tokens and all have room for what asking about them takes.
    Box::pin(others.bearer(state, token, (asked, own))).await
}

/// Who has this token, if it is one that this server knows by itself.
fn local(state: &State, token: &str, asked: &[String], own: &[String]) -> Result<Bearer, Refused> {
    let known = state.tokens.user(token).cloned().map(Ok);
    if let Some(user) = known.or_else(|| bootstrap_tokens::user(state, token)) {
        let audiences: Vec<String> = asked.iter().filter(|one| own.contains(one)).cloned().collect();
        if audiences.is_empty() && !asked.is_empty() {
            return Err(Refused::Unknown);
        }
        return Ok(Bearer::new(user?, audiences));
    }
    let issuer = state.issuer.as_ref().ok_or(Refused::Unknown)?;
    service_accounts::authenticate::bearer(state, issuer, token, asked)
}

/// The user a request comes from: who its connection says, else whose token it carries, else nobody in particular
/// where such may ask. An unknown token is refused.
pub(crate) async fn authenticate(
    state: &State,
    connection: Option<UserInfo>,
    (parts, notes): (&Parts, &Notes),
) -> Result<UserInfo, Failure> {
    let token = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let mut user = match (connection, token) {
        (Some(user), _) => user,
        (None, Some(token)) => match bearer_of(state, token, None).await {
            Ok(bearer) => {
                bearer.tell(notes);
                bearer.user
            }
            Err(refused) => {
                tracing::debug!(reason = %refused, "a bearer token is refused");
                return Err(Failure::Unauthorized);
            }
        },
        (None, None) if admits_anonymous(state, parts.uri.path()) => {
            return Ok(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED]));
        }
        (None, None) => return Err(Failure::Unauthorized),
    };
    // A proxy may say that it is nobody.
    let unknown = user.name == ANONYMOUS || user.groups.iter().any(|group| group == UNAUTHENTICATED);
    if !unknown {
        user.join(AUTHENTICATED);
    }
    Ok(user)
}

/// Whether somebody who does not say who they are may ask for a path at all.
fn admits_anonymous(state: &State, path: &str) -> bool {
    state.authentication.refresh(state.clock.now());
    state.authorizer.admits_anonymous() && state.authentication.admits_anonymous(path)
}

/// The token of an `Authorization` header (RFC 6750).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|t| !t.is_empty())
}
