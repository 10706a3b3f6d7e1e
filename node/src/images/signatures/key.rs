//! Public keys of signers, in PEM as `cosign generate-key-pair` writes them: ECDSA on the curve P-256, and Ed25519.

use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another form.
    #[error("it is no public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    Form,
    /// It is of a kind that is not known here.
    #[error("it is of another kind than ECDSA P-256 and Ed25519")]
    Kind,
}

/// A public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The key in this PEM.
    pub fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::Form)?;
        let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| KeyError::Form)?;
        let (kind, parameters) = (&info.algorithm.algorithm, info.algorithm.parameters.as_ref());
        let is_p256 = || parameters.and_then(|any| any.as_oid().ok()) == Some(OID_EC_P256);
        let algorithm: &'static dyn VerificationAlgorithm = if *kind == OID_SIG_ED25519 {
            &ED25519
        } else if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY && is_p256() {
            &ECDSA_P256_SHA256_ASN1
        } else {
            return Err(KeyError::Kind);
        };
        Ok(Self { algorithm, bytes: info.subject_public_key.data.into_owned() })
    }

    /// Whether who has this key signed the message so.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}
