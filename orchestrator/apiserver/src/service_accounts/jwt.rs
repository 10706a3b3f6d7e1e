//! JSON Web Tokens signed with ES256 (RFC 7515, 7518, 7519): just what ServiceAccount tokens need.
//!
//! One algorithm, one key: a token whose header names anything else is refused before its signature is looked at, so
//! that nobody can choose a weaker one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "ES256";
/// The tokens this server makes have less than 2 KiB; what is much longer is none of them.
const LONGEST: usize = 16 * 1024;
/// What comes before the point of a P-256 key in its SubjectPublicKeyInfo.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of one coordinate of a point.
const COORDINATE: usize = 32;

/// Why a key cannot sign tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no PKCS#8 private key in the PEM text.
    #[error("the key is not a PEM file with a PKCS#8 private key")]
    Pem,
    /// The key is of another kind.
    #[error("the key is not a P-256 private key")]
    Kind,
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
}

/// A list as Go shows it.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// The key that signs tokens.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl Key {
    /// Reads a PKCS#8 P-256 key.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)?;
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
                .map_err(|_| KeyError::Kind)?;
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(pair.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(&spki));
        Ok(Self { pair, random, id })
    }

    /// The token that says this. None if the system has no randomness to sign with.
    pub(crate) fn sign(&self, payload: &[u8]) -> Option<String> {
        let header = Header { alg: ALGORITHM.to_owned(), kid: self.id.clone() };
        let header = serde_json::to_vec(&header).ok()?;
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&self.random, token.as_bytes()).ok()?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Some(token)
    }

    /// What a token says that this key signed.
    pub(crate) fn verify(&self, token: &str) -> Result<Vec<u8>, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::Unknown);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Unknown)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Unknown)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Unknown);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Unknown)?;
        if header.alg != ALGORITHM || header.kid != self.id {
            return Err(Refused::Unknown);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| Refused::Unknown)?;
        decode(payload)
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub(crate) fn jwks(&self) -> Vec<u8> {
        // The first byte says that both coordinates follow.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(COORDINATE);
        let key = json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        });
        json!({ "keys": [key] }).to_string().into_bytes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn key() -> Key {
        let pair = rcgen::KeyPair::generate().unwrap();
        Key::from_pem(pair.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn what_was_signed_is_read_back_by_the_same_key_only() {
        let (ours, other) = (key(), key());
        let token = ours.sign(b"{}").unwrap();
        assert_eq!(ours.verify(&token), Ok(b"{}".to_vec()));
        assert_eq!(other.verify(&token), Err(Refused::Unknown));
    }

    #[test]
    fn another_payload_under_the_same_signature_is_refused() {
        let key = key();
        let token = key.sign(br#"{"sub":"a"}"#).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let payload = URL_SAFE_NO_PAD.encode(br#"{"sub":"b"}"#);
        let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
        assert_eq!(key.verify(&forged), Err(Refused::Unknown));
    }

    #[test]
    fn the_header_cannot_choose_the_algorithm() {
        let key = key();
        let header = json!({ "alg": "none", "kid": key.id }).to_string();
        let token = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(key.verify(&token), Err(Refused::Unknown));
    }

    #[test]
    fn the_key_set_verifies_what_the_key_signed() {
        let key = key();
        let token = key.sign(b"{}").unwrap();
        let set: serde_json::Value = serde_json::from_slice(&key.jwks()).unwrap();
        let mut point = vec![4];
        for name in ["x", "y"] {
            point.extend(URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().unwrap()).unwrap());
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_is_refused(text in "\\PC*|[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
            prop_assert!(key().verify(&text).is_err());
        }

        #[test]
        fn a_token_changed_anywhere_is_refused(at: prop::sample::Index, with in "[A-Za-z0-9_.-]") {
            let key = key();
            let mut token = key.sign(br#"{"sub":"a"}"#).unwrap();
            let at = at.index(token.len());
            let same = token[at..=at] == with;
            token.replace_range(at..=at, &with);
            prop_assert_eq!(key.verify(&token).is_ok(), same);
        }
    }
}
