//! The flags `--oidc-*`: one issuer, said in the words of a configuration.

use std::collections::BTreeMap;

use super::AuthenticationError;
use super::document::{Authenticator, ClaimRule, Document, Issuer, Mappings, Prefixed};
use crate::jose::Algorithm;

/// What the flags `--oidc-*` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OidcFlags {
    /// Who makes the tokens.
    pub issuer_url: String,
    /// For whom they are.
    pub client_id: String,
    /// The claim with the user's name; `sub` if empty.
    pub username_claim: String,
    /// What is put before the name; `-` for nothing, and if empty the issuer unless the name is an address.
    pub username_prefix: String,
    /// The claim with the user's groups; none if empty.
    pub groups_claim: String,
    /// What is put before each group.
    pub groups_prefix: String,
    /// Claims that tokens must have, with their values.
    pub required_claims: BTreeMap<String, String>,
    /// How tokens may be signed; `RS256` if empty.
    pub signing_algs: Vec<String>,
    /// Who vouches for the issuer's certificate (PEM); the system's authorities if empty.
    pub certificate_authority: String,
}

impl OidcFlags {
    /// The configuration that means the same, and how tokens may be signed.
    pub(super) fn document(&self) -> Result<(Document, Vec<Algorithm>), AuthenticationError> {
        if self.issuer_url.is_empty() || self.client_id.is_empty() {
            return Err(AuthenticationError::Flags(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set",
            ));
        }
        let authenticator = Authenticator {
            issuer: Issuer {
                url: self.issuer_url.clone(),
                audiences: vec![self.client_id.clone()],
                certificate_authority: self.certificate_authority.clone(),
                ..Issuer::default()
            },
            claim_mappings: self.mappings(),
            claim_validation_rules: self.required(),
            ..Authenticator::default()
        };
        Ok((Document { jwt: vec![authenticator], ..Document::default() }, self.algorithms()?))
    }

    fn mappings(&self) -> Mappings {
        let claim = if self.username_claim.is_empty() { "sub" } else { &self.username_claim };
        let prefix = match &*self.username_prefix {
            "-" => String::new(),
            "" if claim == "email" => String::new(),
            "" => format!("{}#", self.issuer_url),
            prefix => prefix.to_owned(),
        };
        let prefixed = |claim: &str, prefix: &str| Prefixed {
            claim: claim.to_owned(),
            prefix: Some(prefix.to_owned()),
            expression: String::new(),
        };
        let groups = match &*self.groups_claim {
            "" => Prefixed::default(),
            claim => prefixed(claim, &self.groups_prefix),
        };
        Mappings { username: prefixed(claim, &prefix), groups, ..Mappings::default() }
    }

    fn required(&self) -> Vec<ClaimRule> {
        let rule = |(claim, value): (&String, &String)| ClaimRule {
            claim: claim.clone(),
            required_value: value.clone(),
            ..ClaimRule::default()
        };
        self.required_claims.iter().map(rule).collect()
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>, AuthenticationError> {
        if self.signing_algs.is_empty() {
            return Ok(vec![Algorithm::Rs256]);
        }
        let named = |name: &String| {
            Algorithm::named(name).ok_or_else(|| AuthenticationError::Algorithm(name.clone()))
        };
        self.signing_algs.iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> OidcFlags {
        OidcFlags {
            issuer_url: "https://issuer".to_owned(),
            client_id: "me".to_owned(),
            ..OidcFlags::default()
        }
    }

    fn prefix(change: impl FnOnce(&mut OidcFlags)) -> String {
        let mut flags = flags();
        change(&mut flags);
        flags.document().unwrap().0.jwt[0].claim_mappings.username.prefix.clone().unwrap()
    }

    #[test]
    fn names_are_prefixed_by_the_issuer_unless_they_are_addresses() {
        assert_eq!(prefix(|_| ()), "https://issuer#");
        assert_eq!(prefix(|flags| flags.username_claim = "email".to_owned()), "");
        assert_eq!(prefix(|flags| flags.username_prefix = "-".to_owned()), "");
        assert_eq!(prefix(|flags| flags.username_prefix = "x:".to_owned()), "x:");
    }

    #[test]
    fn flags_that_do_not_fit_are_refused() {
        let error = OidcFlags { client_id: String::new(), ..flags() }.document().unwrap_err();
        assert!(
            error.to_string().starts_with("oidc-issuer-url and oidc-client-id must be specified together")
        );
        let error = OidcFlags { signing_algs: vec!["HS256".to_owned()], ..flags() }.document().unwrap_err();
        assert_eq!(error.to_string(), "oidc: unsupported signing alg: \"HS256\"");
        assert_eq!(flags().document().unwrap().1, [Algorithm::Rs256]);
    }
}
