//! The cluster's certificate authority.
//!
//! `ca.key` is the key that signs; `ca.crt` holds the certificates that are believed. One of them belongs to the key;
//! after a rotation the one before it is kept, and `ca-cross.crt` is the new one as signed by the old key, so that
//! those who only know the old certificate believe what the new key signs.
//!
//! The certificate is renewed with the same key, which nobody notices; a clock that was wrong when the cluster was made
//! is mended so. The key changes only by [`rotate`].

use std::path::Path;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use wherry_api::certificates::Validity;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;

use super::leaf::set_validity;
use super::{PkiError, file, pem, validity};

const CA_DAYS: i64 = 3650;
/// What the names of our authorities begin with.
const NAME: &str = "wherry-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const CROSS: &str = "ca-cross.crt";

/// The authority as it is on disk.
pub(crate) struct Authority {
    /// The certificates that are believed, PEM.
    pub(super) bundle: String,
    /// The certificate of the key.
    der: Vec<u8>,
    /// Its validity.
    pub(super) validity: Validity,
    /// The certificate of the key as those believe it who know the key before it, PEM.
    pub(super) cross: Option<String>,
    /// Signs leaves.
    pub(super) issuer: Issuer<'static, KeyPair>,
}

/// What certificates say of who signed them.
pub(super) struct IssuerFacts {
    /// The DER of the name.
    pub(super) name: Vec<u8>,
    /// What tells its keys apart.
    pub(super) key_id: Option<Vec<u8>>,
}

impl Authority {
    /// Reads the authority, made at first start.
    pub(super) fn open(dir: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (cert_path, key_path) = (dir.join(CERTIFICATE), dir.join(KEY));
        if !cert_path.exists() {
            let (cert, key) = KeyPair::generate()
                .and_then(|key| Ok((make(NAME, &key, now)?, key)))
                .map_err(|source| PkiError::Make { name: NAME.to_owned(), source })?;
            // The key first: a certificate on disk means that its key is there too.
            file::write(&key_path, &key.serialize_pem())?;
            file::write(&cert_path, &cert)?;
        }
        let key = KeyPair::from_pem(&file::read(&key_path)?)
            .map_err(|source| PkiError::Unusable { path: key_path, source })?;
        let unusable = |source| PkiError::Unusable { path: cert_path.clone(), source };
        let mut bundle = blocks(&file::read(&cert_path)?);
        let own = bundle.iter().position(|block| is_of(&block.contents, &key));
        let own = own.ok_or_else(|| unusable(rcgen::Error::CouldNotParseCertificate))?;
        if let Some(name) = due(&bundle[own], now) {
            let renewed = make(&name, &key, now).map_err(unusable)?;
            bundle.splice(own..=own, blocks(&renewed));
            file::write(&cert_path, &joined(&bundle))?;
        }
        let der = bundle[own].contents.clone();
        let broken = || unusable(rcgen::Error::CouldNotParseCertificate);
        let validity = validity(&der).ok_or_else(broken)?;
        let cross = std::fs::read_to_string(dir.join(CROSS)).ok();
        let cross = cross.filter(|text| blocks(text).iter().any(|block| is_of(&block.contents, &key)));
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key).map_err(unusable)?;
        Ok(Self { bundle: joined(&bundle), der, validity, cross, issuer })
    }

    /// The key that signs.
    pub(super) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// When the certificate is renewed.
    pub(super) fn renewal(&self) -> Timestamp {
        self.validity.renewal(&self.der)
    }

    /// What certificates say of who signed them.
    pub(super) fn issuer_facts(&self) -> Option<IssuerFacts> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.der).ok()?;
        let key_id =
            certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            });
        Some(IssuerFacts { name: certificate.subject().as_raw().to_vec(), key_id })
    }

    /// Whether this key signed a certificate.
    pub(super) fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        let own = x509_parser::parse_x509_certificate(&self.der);
        own.is_ok_and(|(_, own)| certificate.verify_signature(Some(own.public_key())).is_ok())
    }
}

/// Gives the authority a new key. The certificate before it goes on being believed until the next rotation.
pub(super) fn rotate(dir: &Path, now: Timestamp) -> Result<(), PkiError> {
    let old = Authority::open(dir, now)?;
    let name = format!("{NAME}-{}", now.as_second());
    let make_both = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let cross = params(&name, now).signed_by(&key, &old.issuer)?.pem();
        Ok((make(&name, &key, now)?, cross, key))
    };
    let (cert, cross, key) = make_both().map_err(|source| PkiError::Make { name: name.clone(), source })?;
    // The key last: until it is there, the old one goes with the old certificate.
    file::write(&dir.join(CROSS), &cross)?;
    file::write(&dir.join(CERTIFICATE), &(cert + &pem("CERTIFICATE", &old.der)))?;
    file::write(&dir.join(KEY), &key.serialize_pem())
}

fn params(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, CA_DAYS);
    params
}

/// A certificate that the key signs itself, PEM.
fn make(name: &str, key: &KeyPair, now: Timestamp) -> Result<String, rcgen::Error> {
    Ok(params(name, now).self_signed(key)?.pem())
}

/// The name of an authority of ours that is to be renewed now.
fn due(block: &Pem, now: Timestamp) -> Option<String> {
    let certificate = block.parse_x509().ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    let is_due = validity(&block.contents)?.is_due(&block.contents, now);
    (is_due && name.starts_with(NAME)).then(|| name.to_owned())
}

/// Whether a certificate is of this key.
fn is_of(der: &[u8], key: &KeyPair) -> bool {
    x509_parser::parse_x509_certificate(der)
        .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
}

fn blocks(text: &str) -> Vec<Pem> {
    Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok).collect()
}

fn joined(blocks: &[Pem]) -> String {
    blocks.iter().map(|block| pem("CERTIFICATE", &block.contents)).collect()
}
