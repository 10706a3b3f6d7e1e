//! The keys of pods, and the requests that show that they are there.

use pem::Pem;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysError, SysRng};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SignatureAlgorithm};
use rsa::pkcs8::EncodePrivateKey as _;

use super::p521;
use crate::trust_bundles::encode;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    /// There is no such type.
    #[error("there are no keys of type {0}")]
    Type(String),
    /// It could not be made.
    #[error("cannot make a key")]
    Make(#[from] rcgen::Error),
    /// There is nothing to make it of.
    #[error("cannot make a key: the system has no random numbers")]
    Random(#[from] SysError),
    /// It could not be made.
    #[error("cannot make an RSA key")]
    Rsa(#[from] rsa::Error),
    /// It could not be written.
    #[error("cannot write a key")]
    Write(#[from] rsa::pkcs8::Error),
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
    /// Makes a key of this type, which takes a moment; seconds, if it is one of RSA.
    pub(super) fn generate(key_type: &str) -> Result<Self, KeyError> {
        match key_type {
            "ECDSAP256" => of_ring(&rcgen::PKCS_ECDSA_P256_SHA256),
            "ECDSAP384" => of_ring(&rcgen::PKCS_ECDSA_P384_SHA384),
            "ECDSAP521" => p521::generate().map(|(key, request)| Self::new(key, request)),
            "ED25519" => of_ring(&rcgen::PKCS_ED25519),
            "RSA3072" => of_rsa(3072),
            "RSA4096" => of_rsa(4096),
            other => Err(KeyError::Type(other.to_owned())),
        }
    }

    fn new(key: Vec<u8>, request: Vec<u8>) -> Self {
        Self { pem: encode(&[Pem::new("PRIVATE KEY", key)]), request }
    }
}

fn of_ring(algorithm: &'static SignatureAlgorithm) -> Result<Key, KeyError> {
    let key = KeyPair::generate_for(algorithm)?;
    let request = request(&key)?;
    let der = key.serialize_der();
    let der = match der.get(SEED) {
        Some(seed) if *algorithm == rcgen::PKCS_ED25519 => [&ED25519[..], seed].concat(),
        _ => der,
    };
    Ok(Key::new(der, request))
}

/// ring makes no such keys, but signs with them.
fn of_rsa(bits: usize) -> Result<Key, KeyError> {
    let mut random = StdRng::try_from_rng(&mut SysRng)?;
    let der = rsa::RsaPrivateKey::new(&mut random, bits)?.to_pkcs8_der()?.as_bytes().to_vec();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &rcgen::PKCS_RSA_SHA256)?;
    let request = request(&key)?;
    Ok(Key::new(der, request))
}

fn request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
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
    #[case("RSA3072")]
    #[case("RSA4096")]
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
        let bits = info.subject_pki.parsed().unwrap().key_size();
        assert!(key_type.ends_with(&bits.to_string()) || key_type == "ED25519", "{bits}");
    }

    #[test]
    fn other_types_are_refused() {
        let Err(error) = Key::generate("DSA") else { panic!("a key was made") };
        assert_eq!(error.to_string(), "there are no keys of type DSA");
    }
}
