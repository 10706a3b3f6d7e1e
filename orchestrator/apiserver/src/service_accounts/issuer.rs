//! The cluster as an issuer of tokens: its names, its keys, and what it publishes about both.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::claims::{Claims, LEGACY_ISSUER, LegacyClaims};
use crate::auth::Refused;
use crate::jose::{Algorithm, Compact, KeyError, PublicKey, SigningKey};

/// How an issuer makes tokens and whose it takes.
#[derive(Debug, Clone)]
pub struct IssuerOptions {
    /// Its names: the first is in the tokens it makes, tokens of all of them are taken.
    pub issuers: Vec<String>,
    /// The audiences that tokens for this API have; the first issuer where there are none.
    pub audiences: Vec<String>,
    /// Where clients find its keys.
    pub jwks_uri: String,
    /// PEM texts with more keys, the tokens of which are taken.
    pub keys: Vec<Vec<u8>>,
    /// Whether the tokens that Pods get by default live for a year, for programs that read theirs once.
    pub extend: bool,
    /// The longest that a token lives, in seconds.
    pub longest: Option<i64>,
}

impl IssuerOptions {
    /// An issuer of one name, with customary settings.
    pub fn new(url: &str, jwks_uri: &str) -> Self {
        Self {
            issuers: vec![url.to_owned()],
            audiences: Vec::new(),
            jwks_uri: jwks_uri.to_owned(),
            keys: Vec::new(),
            extend: true,
            longest: None,
        }
    }
}

/// Who makes ServiceAccount tokens. Clones share the keys.
#[derive(Clone)]
pub struct TokenIssuer(Arc<Inner>);

struct Inner {
    key: SigningKey,
    /// All keys that tokens may be signed with, that of this issuer first.
    keys: Vec<PublicKey>,
    options: IssuerOptions,
}

/// What a token says, whose signature is right.
pub(crate) enum Said {
    /// A token that was asked for, which tells how long it lives.
    Bound(Box<Claims>),
    /// A token of a Secret.
    Legacy(LegacyClaims),
}

impl TokenIssuer {
    /// An issuer of this URL, which is also the audience that tokens for this API have. `key` is a private key (PEM);
    /// `jwks_uri` is where clients find its public half.
    pub fn new(key: &[u8], url: &str, jwks_uri: &str) -> Result<Self, KeyError> {
        Self::with(key, IssuerOptions::new(url, jwks_uri))
    }

    /// An issuer with these options.
    pub fn with(key: &[u8], mut options: IssuerOptions) -> Result<Self, KeyError> {
        let key = SigningKey::from_pem(key)?;
        let mut keys = vec![key.public().clone()];
        for more in std::mem::take(&mut options.keys) {
            let found = PublicKey::all_from_pem(&more);
            if found.is_empty() {
                return Err(KeyError::Pem);
            }
            let known: Vec<String> = keys.iter().map(|key: &PublicKey| key.id.clone()).collect();
            keys.extend(found.into_iter().filter(|key| !known.contains(&key.id)));
        }
        if options.audiences.is_empty() {
            options.audiences = options.issuers.iter().take(1).cloned().collect();
        }
        Ok(Self(Arc::new(Inner { key, keys, options })))
    }

    /// The URL, which tokens name as `iss`.
    pub(crate) fn url(&self) -> &str {
        self.0.options.issuers.first().map_or("", String::as_str)
    }

    /// The audiences that tokens for this API have.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.0.options.audiences
    }

    /// Whether the tokens that Pods get by default live longer than these are told.
    pub(crate) fn extends(&self) -> bool {
        self.0.options.extend
    }

    /// How long a token lives that was asked to live for so many seconds.
    pub(crate) fn lifetime(&self, seconds: i64) -> i64 {
        self.0.options.longest.map_or(seconds, |longest| seconds.min(longest))
    }

    /// A token that says this. None if it cannot be signed.
    pub(crate) fn issue(&self, claims: &Claims) -> Option<String> {
        self.0.key.sign(&serde_json::to_vec(claims).ok()?)
    }

    /// The token of a Secret, which lives as long as the Secret does. None if it cannot be signed.
    pub fn issue_legacy(&self, namespace: &str, secret: &str, account: (&str, &str)) -> Option<String> {
        let claims = LegacyClaims::new(namespace, secret, account);
        self.0.key.sign(&serde_json::to_vec(&claims).ok()?)
    }

    /// What a token says that was made with one of the keys.
    pub(crate) fn read(&self, token: &str) -> Result<Said, Refused> {
        let token = Compact::parse(token).ok_or(Refused::Unknown)?;
        let issuer = issuer_of(&token.payload).ok_or(Refused::Unknown)?;
        let legacy = issuer == LEGACY_ISSUER;
        if (!legacy && !self.0.options.issuers.contains(&issuer)) || !self.signed(&token) {
            return Err(Refused::Unknown);
        }
        let said = if legacy {
            serde_json::from_slice(&token.payload).map(Said::Legacy)
        } else {
            serde_json::from_slice(&token.payload).map(|claims| Said::Bound(Box::new(claims)))
        };
        said.map_err(|_| Refused::Unknown)
    }

    fn signed(&self, token: &Compact<'_>) -> bool {
        let Some(algorithm) = Algorithm::named(&token.algorithm) else { return false };
        let mut named = self.0.keys.iter().filter(|key| token.key.is_empty() || token.key == key.id);
        named.any(|key| key.verifies(token, algorithm))
    }

    /// The public keys: `/openid/v1/jwks`.
    pub(crate) fn jwks(&self) -> Vec<u8> {
        let keys: Vec<Value> = self.0.keys.iter().map(PublicKey::to_jwk).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// What OpenID clients read first: `/.well-known/openid-configuration`.
    pub(crate) fn configuration(&self) -> Vec<u8> {
        let algorithms: BTreeSet<&str> = self.0.keys.iter().map(|key| key.algorithm().name()).collect();
        let document = json!({
            "issuer": self.url(),
            "jwks_uri": self.0.options.jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        document.to_string().into_bytes()
    }
}

/// Who says to have made a token; nothing is known of it yet.
pub(crate) fn issuer_of(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Issued {
        iss: String,
    }
    serde_json::from_slice::<Issued>(payload).ok().map(|issued| issued.iss)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pem() -> String {
        rcgen::KeyPair::generate().unwrap().serialize_pem()
    }

    fn claims(issuer: &str) -> Claims {
        Claims { iss: issuer.to_owned(), ..Claims::default() }
    }

    #[test]
    fn tokens_of_former_names_and_keys_are_taken() {
        let (old, new) = (pem(), pem());
        let before = TokenIssuer::new(old.as_bytes(), "https://old", "").unwrap();
        let mut options = IssuerOptions::new("https://new", "");
        options.issuers.push("https://old".to_owned());
        options.keys.push(old.into_bytes());
        let now = TokenIssuer::with(new.as_bytes(), options).unwrap();
        let token = before.issue(&claims("https://old")).unwrap();
        assert!(matches!(now.read(&token), Ok(Said::Bound(said)) if said.iss == "https://old"));
        assert_eq!((now.url(), now.audiences()), ("https://new", &["https://new".to_owned()][..]));
        let token = now.issue(&claims("https://new")).unwrap();
        assert!(before.read(&token).is_err());
        let token = now.issue(&claims("https://other")).unwrap();
        assert!(now.read(&token).is_err());
    }

    #[test]
    fn the_key_set_has_every_key_once_and_the_configuration_how_they_sign() {
        let key = pem();
        let mut options = IssuerOptions::new("https://x", "https://x/keys");
        options.keys = vec![key.clone().into_bytes(), crate::jose::tests::RSA.as_bytes().to_vec()];
        let issuer = TokenIssuer::with(key.as_bytes(), options.clone()).unwrap();
        let set: Value = serde_json::from_slice(&issuer.jwks()).unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), 2);
        let document: Value = serde_json::from_slice(&issuer.configuration()).unwrap();
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256", "RS256"]));
        options.keys = vec![b"nothing".to_vec()];
        assert!(TokenIssuer::with(key.as_bytes(), options).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_is_refused(text in "\\PC*|[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
            let issuer = TokenIssuer::new(pem().as_bytes(), "https://x", "").unwrap();
            prop_assert!(issuer.read(&text).is_err());
        }

        #[test]
        fn any_payload_that_was_signed_says_something_or_is_refused(payload in "\\PC*|\\{\"iss\":\"https://x\"[a-z:,\"{}]{0,20}\\}") {
            let issuer = TokenIssuer::new(pem().as_bytes(), "https://x", "").unwrap();
            let _ = issuer.read(&issuer.0.key.sign(payload.as_bytes()).unwrap());
        }
    }
}
