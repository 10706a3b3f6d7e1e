//! The keys of pods, and the requests that show that they are there.

use pem::Pem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::trust_bundles::encode;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    /// This node makes none of the kind.
    #[error("this node makes no keys of type {0}: use ECDSAP256, ECDSAP384 or ED25519")]
    Type(String),
    /// It could not be made.
    #[error("cannot make a key")]
    Make(#[from] rcgen::Error),
}

/// A new key.
pub(super) struct Key {
    /// In PKCS#8, as PEM.
    pub(super) pem: String,
    /// A request of PKCS#10 that says nothing but the public key, signed with it.
    pub(super) request: Vec<u8>,
}

/// Where the 32 bytes of the key are in what ring makes of one of Ed25519, in either form of PKCS#8.
const SEED: std::ops::Range<usize> = 16..48;
/// What is before them in the form that all programs read, which does not repeat the public key.
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl Key {
    /// Makes a key of this type.
    pub(super) fn generate(key_type: &str) -> Result<Self, KeyError> {
        let algorithm = match key_type {
            "ECDSAP256" => &rcgen::PKCS_ECDSA_P256_SHA256,
            "ECDSAP384" => &rcgen::PKCS_ECDSA_P384_SHA384,
            "ED25519" => &rcgen::PKCS_ED25519,
            other => return Err(KeyError::Type(other.to_owned())),
        };
        let key = KeyPair::generate_for(algorithm)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?.der().to_vec();
        let der = key.serialize_der();
        let der = match der.get(SEED) {
            Some(seed) if key_type == "ED25519" => [&ED25519[..], seed].concat(),
            _ => der,
        };
        Ok(Self { pem: encode(&[Pem::new("PRIVATE KEY", der)]), request })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;
    use rstest::rstest;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    #[rstest]
    #[case("ECDSAP256")]
    #[case("ECDSAP384")]
    #[case("ED25519")]
    fn a_key_signs_a_request_that_says_nothing_else(#[case] key_type: &str) {
        let key = Key::generate(key_type).unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&key.request).unwrap();
        assert!(rest.is_empty());
        request.verify_signature().unwrap();
        let info = &request.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        let read = KeyPair::from_pem(&key.pem).unwrap();
        assert_eq!(read.subject_public_key_info(), info.subject_pki.raw);
        assert!(key.pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && !key.pem.contains('\r'));
    }

    #[rstest]
    #[case("RSA3072")]
    #[case("DSA")]
    fn other_types_are_refused_with_those_that_are_not(#[case] key_type: &str) {
        let Err(error) = Key::generate(key_type) else { panic!("a key was made") };
        assert!(error.to_string().contains("use ECDSAP256, ECDSAP384 or ED25519"), "{error}");
    }
}
