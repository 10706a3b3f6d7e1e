//! [`SigningKey`]: makes tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use serde_json::json;

use super::{Algorithm, PublicKey};

/// Why a key cannot sign tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no private key in the PEM text.
    #[error("the key is not a PEM file with a private key")]
    Pem,
    /// The key is of another kind.
    #[error("the key is not an RSA, P-256 or P-384 private key")]
    Kind,
}

/// A key that signs tokens. Clones share it.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    public: PublicKey,
}

impl SigningKey {
    /// Reads the first private key in a PEM text: PKCS#8, PKCS#1 or SEC1.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
        let private = |kind: SectionKind| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
        };
        let found = sections.filter_map(Result::ok).find(|(kind, _)| private(*kind));
        let (kind, der) = found.ok_or(KeyError::Pem)?;
        Self::of_section(kind, der)
    }

    /// Reads a private key of a PEM text.
    pub(super) fn of_section(kind: SectionKind, der: Vec<u8>) -> Result<Self, KeyError> {
        let der = match kind {
            SectionKind::PrivateKey => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
            SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
            SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
            _ => return Err(KeyError::Pem),
        };
        let key = any_supported_type(&der).map_err(|_| KeyError::Kind)?;
        let public = key.public_key().and_then(|spki| PublicKey::from_spki(&spki)).ok_or(KeyError::Kind)?;
        Ok(Self { key, public })
    }

    /// The public half.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The token that says this. None if the system has no randomness to sign with.
    pub(crate) fn sign(&self, payload: &[u8]) -> Option<String> {
        let header = json!({ "alg": self.public.algorithm().name(), "kid": self.public.id });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    fn signature(&self, text: &[u8]) -> Option<Vec<u8>> {
        let (scheme, coordinate) = match self.public.algorithm() {
            Algorithm::Es256 => (SignatureScheme::ECDSA_NISTP256_SHA256, Some(32)),
            Algorithm::Es384 => (SignatureScheme::ECDSA_NISTP384_SHA384, Some(48)),
            _ => (SignatureScheme::RSA_PKCS1_SHA256, None),
        };
        let signature = self.key.choose_scheme(&[scheme])?.sign(text).ok()?;
        match coordinate {
            Some(length) => fixed(&signature, length),
            None => Some(signature),
        }
    }
}

/// An ECDSA signature as tokens carry it, both numbers at their full length, of what is a sequence of two in DER.
fn fixed(der: &[u8], length: usize) -> Option<Vec<u8>> {
    let [0x30, _, inner @ ..] = der else { return None };
    let (r, rest) = integer(inner)?;
    let (s, _) = integer(rest)?;
    let mut signature = vec![0; 2 * length];
    for (number, end) in [(r, length), (s, 2 * length)] {
        let number = if number.len() > length { number.strip_prefix(&[0])? } else { number };
        signature.get_mut(end.checked_sub(number.len())?..end)?.copy_from_slice(number);
    }
    Some(signature)
}

/// The bytes of an integer, and what follows it.
fn integer(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x02, length, rest @ ..] = der else { return None };
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::Compact;
    use super::*;

    /// An RSA key that exists for tests only.
    pub(crate) const RSA: &str = include_str!("../../tests/api/fixtures/rsa.pem");

    pub(crate) fn key() -> SigningKey {
        let pair = rcgen::KeyPair::generate().unwrap();
        SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap()
    }

    /// A key of each kind.
    pub(crate) fn keys() -> [SigningKey; 3] {
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        [key(), SigningKey::from_pem(p384.as_bytes()).unwrap(), SigningKey::from_pem(RSA.as_bytes()).unwrap()]
    }

    fn verifies(key: &SigningKey, token: &str) -> bool {
        let parts = Compact::parse(token);
        parts.is_some_and(|parts| {
            Algorithm::named(&parts.algorithm).is_some_and(|how| key.public().verifies(&parts, how))
        })
    }

    #[test]
    fn what_was_signed_is_verified_by_the_same_key_only() {
        for ours in keys() {
            let token = ours.sign(b"{}").unwrap();
            assert!(verifies(&ours, &token));
            assert!(!verifies(&key(), &token));
        }
    }

    #[test]
    fn what_is_no_private_key_signs_nothing() {
        assert!(matches!(SigningKey::from_pem(b"x").err(), Some(KeyError::Pem)));
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        assert!(matches!(SigningKey::from_pem(other.as_bytes()).err(), Some(KeyError::Kind)));
    }

    proptest! {
        #[test]
        fn any_signature_is_read_or_refused(der: Vec<u8>, length in 0_usize..80) {
            prop_assert!(fixed(&der, length).is_none_or(|fixed| fixed.len() == 2 * length));
        }

        #[test]
        fn short_numbers_get_their_zeros_back(r in prop::collection::vec(1_u8..128, 1..33)) {
            let der = [&[0x30, 0][..], &[2, u8::try_from(r.len()).unwrap()], &r, &[2, 1, 7]].concat();
            let fixed = fixed(&der, 32).unwrap();
            prop_assert_eq!(&fixed[32 - r.len()..32], &*r);
            prop_assert!(fixed[..32 - r.len()].iter().all(|byte| *byte == 0));
            prop_assert_eq!(fixed[63], 7);
        }

        #[test]
        fn a_token_changed_anywhere_is_refused(at: prop::sample::Index, with in "[A-Za-z0-9_.-]") {
            let key = key();
            let mut token = key.sign(br#"{"sub":"a"}"#).unwrap();
            let at = at.index(token.len());
            let same = token[at..=at] == with;
            token.replace_range(at..=at, &with);
            prop_assert_eq!(verifies(&key, &token), same);
        }
    }
}
