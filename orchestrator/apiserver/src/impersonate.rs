//! Impersonation: a request in the name of somebody else, by who may ask for that.
//!
//! Every part of the other identity (user or ServiceAccount, each group, each extra value, the uid) is authorized by
//! itself, with the verb `impersonate`.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::auth::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, UserInfo};
use crate::authorize::{Attributes, Authorizer, Object, Resource, refusal};
use crate::error::Failure;
use crate::service_accounts::claims::{split_user_name, user_groups};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// One part of the identity asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    User(String),
    ServiceAccount { namespace: String, name: String },
    Group(String),
    Extra { key: String, value: String },
    Uid(String),
}

impl fmt::Display for Part {
    /// As Go shows the object reference that upstream makes of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{{User  {name}    }}"),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "{{ServiceAccount {namespace} {name}    }}")
            }
            Self::Group(name) => write!(f, "{{Group  {name}    }}"),
            Self::Extra { key, value } => write!(f, "{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}"),
            Self::Uid(uid) => write!(f, "{{UID  {uid}  {AUTHENTICATION}/v1  }}"),
        }
    }
}

impl Part {
    fn resource(&self) -> Resource<'_> {
        match self {
            Self::User(name) => Resource { plural: "users", name, ..Resource::default() },
            Self::ServiceAccount { namespace, name } => {
                Resource { plural: "serviceaccounts", namespace, name, ..Resource::default() }
            }
            Self::Group(name) => Resource { plural: "groups", name, ..Resource::default() },
            Self::Extra { key, value } => Resource {
                group: AUTHENTICATION,
                plural: "userextras",
                part: key,
                name: value,
                ..Resource::default()
            },
            Self::Uid(uid) => {
                Resource { group: AUTHENTICATION, plural: "uids", name: uid, ..Resource::default() }
            }
        }
    }
}

/// Who a request counts as: whom its headers name, if the user may take their place, else the user.
pub(crate) async fn impersonate(
    authorizer: &Authorizer,
    user: UserInfo,
    headers: &HeaderMap,
    uri: &str,
) -> Result<UserInfo, Failure> {
    let parts = parts(headers).map_err(|why| Failure::Broken(format!("{uri:?}: {why}")))?;
    for part in &parts {
        let object = Object::Resource(Resource { version: "v1", ..part.resource() });
        let attributes = Attributes { user: &user, verb: "impersonate", object };
        let decision = authorizer.decide(&attributes).await;
        if !decision.allowed {
            return Err(refusal(&attributes, &decision.reason));
        }
    }
    Ok(if parts.is_empty() { user } else { identity(parts) })
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// The parts that headers name. Only who names a user may name anything else.
fn parts(headers: &HeaderMap) -> Result<Vec<Part>, String> {
    let first = |name: &str| values(headers, name).into_iter().next().filter(|value| !value.is_empty());
    let user = first(USER).map(|name| match split_user_name(&name) {
        Some((namespace, name)) => Part::ServiceAccount { namespace, name },
        None => Part::User(name),
    });
    let named = user.is_some();
    let mut parts: Vec<Part> = user.into_iter().collect();
    parts.extend(values(headers, GROUP).into_iter().map(Part::Group));
    for header in headers.keys().map(http::HeaderName::as_str) {
        let Some(key) = header.strip_prefix(EXTRA) else { continue };
        let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
        parts
            .extend(values(headers, header).into_iter().map(|value| Part::Extra { key: key.clone(), value }));
    }
    parts.extend(first(UID).map(Part::Uid));
    if !named && !parts.is_empty() {
        let shown: Vec<String> = parts.iter().map(ToString::to_string).collect();
        return Err(format!("requested [{}] without impersonating a user", shown.join(" ")));
    }
    Ok(parts)
}

/// The user that parts make.
fn identity(parts: Vec<Part>) -> UserInfo {
    let mut user = UserInfo::default();
    let mut implied = Vec::new();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in parts {
        match part {
            Part::User(name) => user.name = name,
            Part::ServiceAccount { namespace, name } => {
                user.name = crate::service_accounts::claims::user_name(&namespace, &name);
                implied = user_groups(&namespace);
            }
            Part::Group(name) => user.groups.push(name),
            Part::Extra { key, value } => extra.entry(key).or_default().push(value),
            Part::Uid(uid) => user.uid = uid,
        }
    }
    if user.groups.is_empty() {
        user.groups = implied;
    }
    user.extra = extra;
    let has = |group: &str| user.groups.iter().any(|one| one == group);
    let (everybody, known) =
        if user.name == ANONYMOUS { (UNAUTHENTICATED, false) } else { (AUTHENTICATED, has(UNAUTHENTICATED)) };
    if !known {
        user.join(everybody);
    }
    user
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn who(pairs: &[(&str, &str)]) -> UserInfo {
        identity(parts(&headers(pairs)).unwrap())
    }

    #[test]
    fn a_user_is_in_the_group_of_everybody_known() {
        let user = who(&[
            ("Impersonate-User", "ann"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Extra-Reason%2Fwhy", "x"),
        ]);
        assert_eq!(user.groups, ["dev", "system:authenticated"]);
        assert_eq!(user.extra["reason/why"], ["x"]);
        assert_eq!(who(&[("Impersonate-User", "system:anonymous")]).groups, ["system:unauthenticated"]);
    }

    #[test]
    fn a_service_account_is_in_the_groups_of_its_kind_unless_others_are_named() {
        let name = "system:serviceaccount:a:robot";
        let groups = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
        assert_eq!(who(&[("Impersonate-User", name)]).groups, groups);
        let named = who(&[("Impersonate-User", name), ("Impersonate-Group", "x")]);
        assert_eq!(named.groups, ["x", "system:authenticated"]);
    }

    #[test]
    fn a_group_without_a_user_means_nothing() {
        let error = parts(&headers(&[("Impersonate-Group", "dev")])).unwrap_err();
        assert_eq!(error, "requested [{Group  dev    }] without impersonating a user");
    }

    proptest! {
        #[test]
        fn any_headers_name_somebody_or_nobody(
            pairs in prop::collection::vec(("impersonate-(user|group|uid|extra-[a-z%]{0,5})", "[ -~]{0,30}"), 0..6),
        ) {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            if let Ok(parts) = parts(&headers(&pairs)) {
                let some = !parts.is_empty();
                let user = identity(parts);
                prop_assert!(!some || !user.name.is_empty());
            }
        }
    }
}
