//! As whom a registry is asked.

use std::fmt;

/// Somebody a registry knows.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// Anybody.
    #[default]
    Nobody,
    /// A user, and the password.
    Password(String, String),
    /// Whoever holds this token, for which a registry gives others.
    IdentityToken(String),
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("Nobody"),
            Self::Password(user, _) => formatter.debug_tuple("Password").field(user).finish_non_exhaustive(),
            Self::IdentityToken(_) => formatter.debug_tuple("IdentityToken").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for account in [
            Account::Password("ada".to_owned(), "secret".to_owned()),
            Account::IdentityToken("secret".to_owned()),
        ] {
            assert!(!format!("{account:?}").contains("secret"), "{account:?}");
        }
    }
}
