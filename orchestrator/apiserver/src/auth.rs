//! Who asks, and whether they may.
//!
//! A client certificate names its user in the common name and the user's groups in the organizations. For now one
//! rule decides: members of `system:masters` may do everything, everybody may ask about the server's health and
//! version, nobody may do anything else.

use wherry_api::kinds::Kind;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::Failure;
use crate::request::path::{Route, Target};

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

impl UserInfo {
    /// A user who may do everything, for parts of the control plane in this process.
    pub fn master(name: &str) -> Self {
        Self { name: name.to_owned(), groups: vec![MASTERS.to_owned()] }
    }

    /// The user a client certificate names; its chain has been verified by TLS. None without a common name.
    pub(crate) fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
        Some(Self { name, groups })
    }
}

/// Refuses what the user may not do.
pub(crate) fn authorize(
    user: Option<&UserInfo>,
    route: &Route,
    verb: &str,
    path: &str,
) -> Result<(), Failure> {
    if matches!(route, Route::Health(_) | Route::Version) {
        return Ok(());
    }
    let user = user.ok_or(Failure::Unauthorized)?;
    if user.groups.iter().any(|g| g == MASTERS) {
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
