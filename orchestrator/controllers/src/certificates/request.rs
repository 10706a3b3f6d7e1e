//! What a PKCS#10 request asks for.

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT, OID_X509_POSTAL_CODE, OID_X509_SERIALNUMBER,
    OID_X509_STATE_OR_PROVINCE_NAME, OID_X509_STREET_ADDRESS, Oid,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer};

/// The parts of a name that a certificate keeps, in the order in which it names them.
const PARTS: [Oid<'static>; 9] = [
    OID_X509_COUNTRY_NAME,
    OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT,
    OID_X509_LOCALITY_NAME,
    OID_X509_STATE_OR_PROVINCE_NAME,
    OID_X509_STREET_ADDRESS,
    OID_X509_POSTAL_CODE,
    OID_X509_COMMON_NAME,
    OID_X509_SERIALNUMBER,
];
/// Parts of which a name keeps the last alone, so that nobody is known by another than the one that was checked.
const ONCE: [Oid<'static>; 2] = [OID_X509_COMMON_NAME, OID_X509_SERIALNUMBER];

/// What a request asks for, beside its usages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    /// The parts of the subject's name.
    pub(super) subject: Vec<(Oid<'static>, String)>,
    /// The DER of the SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
    /// Other names of the subject.
    pub(super) names: Vec<AlternativeName>,
}

/// Another name of a certificate's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An e-mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

impl Request {
    /// Reads the PEM text of a request. None of what the API server would not have accepted.
    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let block = Pem::iter_from_buffer(pem).next()?.ok()?;
        if block.label != "CERTIFICATE REQUEST" {
            return None;
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
        request.verify_signature().ok()?;
        let info = &request.certification_request_info;
        let mut subject = Vec::new();
        for part in PARTS {
            let values = info.subject.iter_by_oid(&part).map(AttributeTypeAndValue::as_str);
            let mut values = values.collect::<Result<Vec<_>, _>>().ok()?;
            if ONCE.contains(&part) {
                values.drain(..values.len().saturating_sub(1));
            }
            subject.extend(values.into_iter().map(|value| (part.clone(), value.to_owned())));
        }
        let names = request.requested_extensions().into_iter().flatten().flat_map(names).collect();
        Some(Self { subject, public_key: info.subject_pki.raw.to_vec(), names })
    }

    /// The common name.
    pub(super) fn common_name(&self) -> &str {
        self.parts(&OID_X509_COMMON_NAME).next().unwrap_or_default()
    }

    /// The organizations, which are a user's groups.
    pub(super) fn organizations(&self) -> Vec<&str> {
        self.parts(&OID_X509_ORGANIZATION_NAME).collect()
    }

    fn parts(&self, part: &Oid<'_>) -> impl Iterator<Item = &str> {
        self.subject.iter().filter(move |(oid, _)| oid == part).map(|(_, value)| value.as_str())
    }
}

/// The names in an extension. Those of kinds that no certificate of ours has are left out.
fn names(extension: &ParsedExtension<'_>) -> Vec<AlternativeName> {
    let ParsedExtension::SubjectAlternativeName(found) = extension else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Dns((*name).to_owned())),
        GeneralName::RFC822Name(address) => Some(AlternativeName::Email((*address).to_owned())),
        GeneralName::URI(uri) => Some(AlternativeName::Uri((*uri).to_owned())),
        GeneralName::IPAddress(octets) => address(octets).map(AlternativeName::Ip),
        _ => None,
    };
    found.general_names.iter().filter_map(name).collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
