//! Signs what the certificates API is asked for with the key of the cluster.

use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use wherry_controllers::{AlternativeName, Leaf, SignError};
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};

use super::authority::Authority;
use super::{Pki, der, pem};

/// Why a certificate was not signed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the system gives no random numbers to make a serial number of")]
    Random,
    #[error("the certificate of the authority cannot be read")]
    Authority,
    #[error("keys of the authority's kind do not sign")]
    Algorithm,
    #[error("the authority is not valid at the time")]
    Expired,
    #[error("unrecognized usage value {0:?}")]
    Usage(String),
    #[error("signing failed")]
    Sign(#[from] rcgen::Error),
}

/// Signs with whatever key the cluster has at the time.
pub(crate) struct RequestSigner {
    pki: watch::Receiver<Pki>,
}

impl RequestSigner {
    /// With the key of the certificates in a channel.
    pub(crate) fn new(pki: watch::Receiver<Pki>) -> Self {
        Self { pki }
    }
}

impl wherry_controllers::Authority for RequestSigner {
    fn not_after(&self) -> Timestamp {
        self.pki.borrow().authority.validity.not_after
    }

    fn sign(&self, leaf: &Leaf) -> Result<String, SignError> {
        let authority = self.pki.borrow().authority.clone();
        sign(&authority, leaf).map_err(|refused| SignError(Box::new(refused)))
    }
}

fn sign(authority: &Authority, leaf: &Leaf) -> Result<String, Refused> {
    if leaf.not_before >= leaf.not_after {
        return Err(Refused::Expired);
    }
    let issuer = authority.issuer_facts().ok_or(Refused::Authority)?;
    let algorithm = algorithm(authority.key())?;
    let body = der::sequence(&[
        der::explicit(0, &der::tagged(der::INTEGER, &[2])),
        der::tagged(der::INTEGER, &serial()?),
        algorithm.clone(),
        issuer.name,
        der::sequence(&[der::time(leaf.not_before), der::time(leaf.not_after)]),
        subject(leaf),
        leaf.public_key.clone(),
        der::explicit(3, &extensions(leaf, issuer.key_id.as_deref())?),
    ]);
    let signature = authority.key().sign(&body)?;
    Ok(pem("CERTIFICATE", &der::sequence(&[body, algorithm, der::bits(&signature)])))
}

/// The identifier of how the key signs.
fn algorithm(key: &KeyPair) -> Result<Vec<u8>, Refused> {
    const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let oid = if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        ECDSA_SHA256
    } else if key.algorithm() == &rcgen::PKCS_ED25519 {
        ED25519
    } else {
        return Err(Refused::Algorithm);
    };
    Ok(der::sequence(&[der::tagged(der::OID, oid)]))
}

/// A positive number of 127 random bits.
fn serial() -> Result<[u8; 16], Refused> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| Refused::Random)?;
    // Neither negative nor with zeroes in front.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn subject(leaf: &Leaf) -> Vec<u8> {
    let part = |(oid, value): &(Oid<'_>, String)| {
        let part = [der::tagged(der::OID, oid.as_bytes()), der::tagged(der::UTF8, value.as_bytes())];
        der::tagged(der::SET, &der::sequence(&part))
    };
    der::sequence(&leaf.subject.iter().map(part).collect::<Vec<_>>())
}

fn extension(oid: &Oid<'_>, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::tagged(der::OID, oid.as_bytes())];
    if critical {
        parts.push(der::tagged(der::BOOLEAN, &[0xff]));
    }
    parts.push(der::tagged(der::OCTETS, value));
    der::sequence(&parts)
}

fn extensions(leaf: &Leaf, authority_key_id: Option<&[u8]>) -> Result<Vec<u8>, Refused> {
    let (bits, purposes) = usages(&leaf.usages)?;
    let mut all = Vec::new();
    if bits != 0 {
        all.push(extension(&OID_X509_EXT_KEY_USAGE, true, &der::named_bits(bits)));
    }
    if !purposes.is_empty() {
        let purposes: Vec<_> = purposes.iter().map(|oid| der::tagged(der::OID, oid)).collect();
        all.push(extension(&OID_X509_EXT_EXTENDED_KEY_USAGE, false, &der::sequence(&purposes)));
    }
    all.push(extension(&OID_X509_EXT_BASIC_CONSTRAINTS, true, &der::sequence(&[])));
    if let Some(id) = authority_key_id {
        let id = der::sequence(&[der::tagged(0x80, id)]);
        all.push(extension(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, false, &id));
    }
    if !leaf.names.is_empty() {
        let names: Vec<_> = leaf.names.iter().map(name).collect();
        let critical = leaf.subject.is_empty();
        all.push(extension(&OID_X509_EXT_SUBJECT_ALT_NAME, critical, &der::sequence(&names)));
    }
    Ok(der::sequence(&all))
}

fn name(name: &AlternativeName) -> Vec<u8> {
    match name {
        AlternativeName::Email(address) => der::tagged(0x81, address.as_bytes()),
        AlternativeName::Dns(name) => der::tagged(0x82, name.as_bytes()),
        AlternativeName::Uri(uri) => der::tagged(0x86, uri.as_bytes()),
        AlternativeName::Ip(std::net::IpAddr::V4(address)) => der::tagged(0x87, &address.octets()),
        AlternativeName::Ip(std::net::IpAddr::V6(address)) => der::tagged(0x87, &address.octets()),
    }
}

/// What a key may be used for in general, as bits from the highest, and for which purposes, as identifiers.
fn usages(usages: &[String]) -> Result<(u16, Vec<&'static [u8]>), Refused> {
    let (mut bits, mut purposes) = (0, Vec::new());
    for usage in usages {
        if let Some(bit) = bit(usage) {
            bits |= 0x8000 >> bit;
        } else {
            purposes.push(purpose(usage).ok_or_else(|| Refused::Usage(usage.clone()))?);
        }
    }
    purposes.sort_unstable();
    purposes.dedup();
    Ok((bits, purposes))
}

fn bit(usage: &str) -> Option<u8> {
    Some(match usage {
        "signing" | "digital signature" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        "decipher only" => 8,
        _ => return None,
    })
}

fn purpose(usage: &str) -> Option<&'static [u8]> {
    Some(match usage {
        "any" => &[0x55, 0x1d, 0x25, 0],
        "server auth" => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[0x2b, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[0x2b, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[0x2b, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[0x2b, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[0x2b, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[0x2b, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[0x2b, 6, 1, 5, 5, 7, 3, 9],
        "microsoft sgc" => &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x0a, 3, 3],
        "netscape sgc" => &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1],
        _ => return None,
    })
}
