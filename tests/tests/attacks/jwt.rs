//! Tokens, taken apart and put together again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

/// A token in its parts.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) signature: Vec<u8>,
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

impl Token {
    pub(crate) fn read(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| BASE64.decode(part).unwrap());
        let mut next = || parts.next().unwrap();
        let header = serde_json::from_slice(&next()).unwrap();
        let claims = serde_json::from_slice(&next()).unwrap();
        Self { header, claims, signature: next() }
    }

    /// The token with another header.
    pub(crate) fn header(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.header);
        self
    }

    /// The token with other claims.
    pub(crate) fn claims(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.claims);
        self
    }

    fn message(&self) -> String {
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    /// The token with the signature it has, whether it fits or not.
    pub(crate) fn text(&self) -> String {
        format!("{}.{}", self.message(), BASE64.encode(&self.signature))
    }

    /// The token signed with a secret that both sides would know.
    pub(crate) fn hmac(mut self, secret: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        self.signature = hmac::sign(&key, self.message().as_bytes()).as_ref().to_vec();
        self.text()
    }

    /// The token signed with a P-256 key, as PEM.
    pub(crate) fn signed(mut self, pem: &str) -> String {
        let (pair, random) = (pair(pem), SystemRandom::new());
        self.signature = pair.sign(&random, self.message().as_bytes()).unwrap().as_ref().to_vec();
        self.text()
    }
}

fn pair(pem: &str) -> EcdsaKeyPair {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random).unwrap()
}

/// The point that everybody may know of a key.
pub(crate) fn public_point(pem: &str) -> Vec<u8> {
    pair(pem).public_key().as_ref().to_vec()
}
