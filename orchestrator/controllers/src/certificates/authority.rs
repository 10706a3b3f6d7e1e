//! What the controllers need of whoever holds the cluster's key.

use std::error::Error;

use jiff::Timestamp;
use x509_parser::oid_registry::Oid;

use super::request::AlternativeName;

/// Signs with the cluster's key.
pub trait Authority: Send + Sync + 'static {
    /// When the authority's own certificate ends; none that it signs lasts longer.
    fn not_after(&self) -> Timestamp;

    /// The certificate as PEM.
    fn sign(&self, leaf: &Leaf) -> Result<String, SignError>;
}

/// A certificate to be signed, which is nobody's authority.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The parts of the subject's name, in order.
    pub subject: Vec<(Oid<'static>, String)>,
    /// The DER of the SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Other names of the subject.
    pub names: Vec<AlternativeName>,
    /// What the key may be used for, in the words of the certificates API.
    pub usages: Vec<String>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// A certificate could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the authority cannot sign the certificate")]
pub struct SignError(#[source] pub Box<dyn Error + Send + Sync>);
