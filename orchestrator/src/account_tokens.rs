//! How the tokens of ServiceAccounts are made, and whose are taken.

use std::net::SocketAddr;
use std::sync::Arc;

use wherry_apiserver::{IssuerOptions, KeyError, TokenIssuer};
use wherry_controllers::{TokenMinter, TokenSubject};

/// The name of the cluster's API as an issuer and as an audience of tokens, unless it is given another.
const ISSUER: &str = "https://kubernetes.default.svc";

/// How the tokens of ServiceAccounts are made, and whose are taken.
#[derive(Clone, Debug)]
pub struct AccountTokens {
    /// The names of this cluster as an issuer: the first is in new tokens, tokens with any of them are taken.
    pub issuers: Vec<String>,
    /// The audiences of tokens for this API; the first issuer where there are none.
    pub audiences: Vec<String>,
    /// PEM texts with more keys, the tokens of which are taken.
    pub keys: Vec<Vec<u8>>,
    /// The private key that signs tokens (PEM), instead of the cluster's own.
    pub signing_key: Option<Vec<u8>>,
    /// Where clients find the keys, instead of at this server.
    pub jwks_uri: Option<String>,
    /// Whether the tokens that Pods get by default live for a year.
    pub extend: bool,
    /// The longest that a token lives, in seconds.
    pub longest: Option<i64>,
}

impl Default for AccountTokens {
    fn default() -> Self {
        Self {
            issuers: vec![ISSUER.to_owned()],
            audiences: Vec::new(),
            keys: Vec::new(),
            signing_key: None,
            jwks_uri: None,
            extend: true,
            longest: None,
        }
    }
}

impl AccountTokens {
    /// Makes the tokens that Secrets hold: what the controllers are lent in place of the key.
    pub(crate) fn minter(&self, own_key: &str) -> Result<TokenMinter, KeyError> {
        let key = self.signing_key.as_deref().unwrap_or(own_key.as_bytes());
        let issuer = TokenIssuer::with(key, IssuerOptions::new(ISSUER, ""))?;
        Ok(Arc::new(move |of: &TokenSubject<'_>| {
            issuer.issue_legacy(of.namespace, of.secret, (of.account, of.uid))
        }))
    }

    /// The issuer at this address. Tokens of the cluster's own key are taken in any case.
    pub(crate) fn issuer(&self, own_key: &str, address: SocketAddr) -> Result<TokenIssuer, KeyError> {
        let jwks_uri = self.jwks_uri.clone().unwrap_or_else(|| format!("https://{address}/openid/v1/jwks"));
        let own_key = own_key.as_bytes();
        let mut keys = self.keys.clone();
        keys.push(own_key.to_vec());
        let options = IssuerOptions {
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            jwks_uri,
            keys,
            extend: self.extend,
            longest: self.longest,
        };
        TokenIssuer::with(self.signing_key.as_deref().unwrap_or(own_key), options)
    }
}
