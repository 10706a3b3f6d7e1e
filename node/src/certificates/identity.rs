//! A certificate with its key, in memory and in a file of both.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use wherry_api::certificates::Validity;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::request::Wanted;

/// A certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) cert: String,
    /// The key.
    pub(crate) key: String,
}

impl Identity {
    /// What is in a file, if it is a certificate and a key.
    pub(super) fn load(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    /// A certificate and the key that follows it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (cert, key) = text.split_at(text.find("-----BEGIN PRIVATE KEY-----")?);
        CertificateDer::from_pem_slice(cert.as_bytes()).ok()?;
        PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        Some(Self { cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Puts it into a file, whole or not at all.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(self.cert.as_bytes())?;
        file.write_all(self.key.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    }

    /// Whether it is still good for anything.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.read(|_, validity, _| validity.not_before <= now && now < validity.not_after).unwrap_or(false)
    }

    /// Whether it is what is wanted, and not to be renewed yet.
    pub(super) fn serves(&self, wanted: &Wanted, now: Timestamp) -> bool {
        let judge = |certificate: &X509Certificate<'_>, validity: Validity, der: &[u8]| {
            !validity.is_due(der, now) && covers(certificate, wanted)
        };
        self.read(judge).unwrap_or(false)
    }

    fn read<T>(&self, read: impl FnOnce(&X509Certificate<'_>, Validity, &[u8]) -> T) -> Option<T> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        let validity = certificate.validity();
        let validity =
            Validity::from_seconds(validity.not_before.timestamp(), validity.not_after.timestamp())?;
        Some(read(&certificate, validity, &der))
    }
}

/// Whether a certificate names all that is wanted.
fn covers(certificate: &X509Certificate<'_>, wanted: &Wanted) -> bool {
    let named = certificate.subject().iter_common_name().any(|name| name.as_str() == Ok(&wanted.common_name));
    let Ok(found) = certificate.subject_alternative_name() else { return false };
    let found = found.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let has = |name: &String| found.iter().any(|one| matches!(one, GeneralName::DNSName(dns) if dns == name));
    let reached = |address: &IpAddr| {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        found.iter().any(|one| matches!(one, GeneralName::IPAddress(bytes) if **bytes == *octets))
    };
    named && wanted.names.iter().all(has) && wanted.addresses.iter().all(reached)
}
