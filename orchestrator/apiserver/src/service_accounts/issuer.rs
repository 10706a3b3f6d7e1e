//! The cluster as an issuer of tokens: its name, its key, and what it publishes about both.

use std::sync::Arc;

use serde_json::json;

use super::claims::Claims;
use super::jwt::{Key, KeyError, Refused};

/// Who makes ServiceAccount tokens. Clones share the key.
#[derive(Clone)]
pub struct TokenIssuer(Arc<Inner>);

struct Inner {
    key: Key,
    url: String,
    jwks_uri: String,
}

impl TokenIssuer {
    /// An issuer of this URL, which is also the audience that tokens for this API have. `key` is a P-256 private key
    /// (PKCS#8, PEM); `jwks_uri` is where clients find its public half.
    pub fn new(key: &[u8], url: &str, jwks_uri: &str) -> Result<Self, KeyError> {
        let key = Key::from_pem(key)?;
        Ok(Self(Arc::new(Inner { key, url: url.to_owned(), jwks_uri: jwks_uri.to_owned() })))
    }

    /// The URL, which tokens name as `iss` and, unless they are for others, as `aud`.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// A token that says this. None if it cannot be signed.
    pub(crate) fn issue(&self, claims: &Claims) -> Option<String> {
        self.0.key.sign(&serde_json::to_vec(claims).ok()?)
    }

    /// What a token says that this issuer made.
    pub(crate) fn read(&self, token: &str) -> Result<Claims, Refused> {
        let payload = self.0.key.verify(token)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Refused::Unknown)?;
        if claims.iss == self.0.url { Ok(claims) } else { Err(Refused::Unknown) }
    }

    /// The public keys: `/openid/v1/jwks`.
    pub(crate) fn jwks(&self) -> Vec<u8> {
        self.0.key.jwks()
    }

    /// What OpenID clients read first: `/.well-known/openid-configuration`.
    pub(crate) fn configuration(&self) -> Vec<u8> {
        let document = json!({
            "issuer": self.0.url,
            "jwks_uri": self.0.jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        document.to_string().into_bytes()
    }
}
