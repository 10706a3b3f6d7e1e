//! Certificates that the authority signs for the cluster itself.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use wherry_api::certificates::{BACKDATE, Validity};
use x509_parser::extensions::GeneralName;

use super::authority::Authority;
use super::{Identity, PkiError, file, validity};

const DAYS: i64 = 365;

/// What one leaf certificate says.
pub(super) struct Leaf<'a> {
    pub(super) file: &'static str,
    pub(super) common_name: &'a str,
    pub(super) organization: Option<&'static str>,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) usage: ExtendedKeyUsagePurpose,
}

/// A certificate that is on disk, and when it has to be looked at again.
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) validity: Validity,
    pub(super) renewal: Timestamp,
}

/// Reads a certificate; makes it anew if it is missing, due, signed by another key, or does not name what is asked for.
pub(super) fn open(
    dir: &Path,
    leaf: &Leaf<'_>,
    authority: &Authority,
    now: Timestamp,
) -> Result<Opened, PkiError> {
    let path = |extension: &str| dir.join(format!("{}.{extension}", leaf.file));
    let (cert_path, key_path) = (path("crt"), path("key"));
    if let (Ok(cert), Ok(key)) = (fs::read_to_string(&cert_path), fs::read_to_string(&key_path))
        && KeyPair::from_pem(&key).is_ok()
        && let Some((validity, renewal)) = still_serves(&cert, leaf, authority, now)
    {
        return Ok(Opened { identity: Identity { cert, key }, validity, renewal });
    }
    let name = || leaf.common_name.to_owned();
    let identity = make(leaf, authority, now).map_err(|source| PkiError::Make { name: name(), source })?;
    file::write(&key_path, &identity.key)?;
    file::write(&cert_path, &identity.cert)?;
    let (validity, renewal) = still_serves(&identity.cert, leaf, authority, now)
        .ok_or_else(|| PkiError::Make { name: name(), source: rcgen::Error::CouldNotParseCertificate })?;
    Ok(Opened { identity, validity, renewal })
}

fn make(leaf: &Leaf<'_>, authority: &Authority, now: Timestamp) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(leaf.names.clone())?;
    params.subject_alt_names.extend(leaf.addresses.iter().map(|a| SanType::IpAddress(*a)));
    params.distinguished_name.push(DnType::CommonName, leaf.common_name);
    if let Some(organization) = leaf.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![leaf.usage.clone()];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, DAYS);
    let cert = params.signed_by(&key, &authority.issuer)?;
    Ok(Identity { cert: cert.pem(), key: key.serialize_pem() })
}

/// Lets a certificate be valid from a little before now, for so many days.
pub(super) fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let second = |second: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(second).unwrap_or_default())
    };
    let from = now.as_second() - i64::try_from(BACKDATE.as_secs()).unwrap_or_default();
    params.not_before = second(from);
    params.not_after = second(from + days * 86_400);
}

/// When a certificate is valid and when it is due, if it is not due yet and names everything asked for.
fn still_serves(
    pem: &str,
    leaf: &Leaf<'_>,
    authority: &Authority,
    now: Timestamp,
) -> Option<(Validity, Timestamp)> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let cert = block.parse_x509().ok()?;
    let validity = validity(&block.contents)?;
    if validity.is_due(&block.contents, now) || !authority.signed(&cert) {
        return None;
    }
    let san = cert.subject_alternative_name().ok()?;
    let covered = san.map(|s| s.value.general_names.as_slice()).unwrap_or_default();
    let named = |name: &String| covered.iter().any(|c| matches!(c, GeneralName::DNSName(n) if n == name));
    let reached = |address: &IpAddr| {
        let octets = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        covered.iter().any(|c| matches!(c, GeneralName::IPAddress(b) if **b == *octets))
    };
    let covers = leaf.names.iter().all(named) && leaf.addresses.iter().all(reached);
    covers.then(|| (validity, validity.renewal(&block.contents)))
}
