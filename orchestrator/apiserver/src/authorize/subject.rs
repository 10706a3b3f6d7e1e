//! Whom a binding is to.

use std::fmt;

use wherry_schema::Value;

use crate::auth::UserInfo;
use crate::object::Fields;
use crate::service_accounts::claims::user_name;

/// Whom a binding is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A user.
    User(String),
    /// All members of a group.
    Group(String),
    /// A ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The user it is known as; none without a namespace.
        user: String,
    },
}

impl Subject {
    /// A subject of a binding in this namespace, which is empty for a cluster's.
    pub(super) fn of(subject: &Value, namespace: &str) -> Self {
        let name = subject.text("name").to_owned();
        match subject.text("kind") {
            "Group" => Self::Group(name),
            "ServiceAccount" => {
                let given = subject.text("namespace");
                let namespace = if given.is_empty() { namespace } else { given };
                let user = if namespace.is_empty() { String::new() } else { user_name(namespace, &name) };
                Self::ServiceAccount { namespace: namespace.to_owned(), name, user }
            }
            _ => Self::User(name),
        }
    }

    /// Whether the user is the subject, or one of it.
    pub(super) fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => *name == user.name,
            Self::ServiceAccount { user: name, .. } => !name.is_empty() && *name == user.name,
            Self::Group(name) => user.groups.contains(name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User {name:?}"),
            Self::Group(name) => write!(f, "Group {name:?}"),
            Self::ServiceAccount { namespace, name, .. } => {
                write!(f, "ServiceAccount {:?}", format!("{name}/{namespace}"))
            }
        }
    }
}
