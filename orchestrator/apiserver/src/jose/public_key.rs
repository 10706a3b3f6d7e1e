//! [`PublicKey`]: checks signatures. Read from key sets of issuers and from PEM files.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::json;
use sha2::{Digest, Sha256};
use wherry_schema::Value;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, Compact, SigningKey};
use crate::object::Fields;

/// A key that checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// What tokens call it; empty if it has no name.
    pub(crate) id: String,
    numbers: Numbers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point on P-256 or P-384, uncompressed.
    Curve {
        algorithm: Algorithm,
        point: Vec<u8>,
    },
}

/// The curve of points with coordinates of so many bytes.
fn curve(coordinate: usize) -> Option<(&'static str, Algorithm)> {
    match coordinate {
        32 => Some(("P-256", Algorithm::Es256)),
        48 => Some(("P-384", Algorithm::Es384)),
        _ => None,
    }
}

impl PublicKey {
    /// Reads a key of a key set (RFC 7517); none if it is of a kind that signs no tokens here.
    pub(crate) fn from_jwk(key: &Value) -> Option<Self> {
        if !matches!(key.text("use"), "" | "sig") {
            return None;
        }
        let number = |name: &str| URL_SAFE_NO_PAD.decode(key.text(name)).ok().filter(|it| !it.is_empty());
        let numbers = match key.text("kty") {
            "RSA" => Numbers::Rsa { n: stripped(&number("n")?), e: stripped(&number("e")?) },
            "EC" => {
                let (x, y) = (number("x")?, number("y")?);
                let (name, algorithm) = curve(x.len())?;
                if name != key.text("crv") || x.len() != y.len() {
                    return None;
                }
                Numbers::Curve { algorithm, point: [&[4], &*x, &*y].concat() }
            }
            _ => return None,
        };
        Some(Self { id: key.text("kid").to_owned(), numbers })
    }

    /// Reads a SubjectPublicKeyInfo; the key is named by its digest, as Kubernetes does.
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        let numbers = match info.parsed().ok()? {
            Parsed::RSA(key) => Numbers::Rsa { n: stripped(key.modulus), e: stripped(key.exponent) },
            Parsed::EC(point) => {
                let point = point.data().to_vec();
                let (_, algorithm) = curve(point.len().checked_sub(1)? / 2)?;
                Numbers::Curve { algorithm, point }
            }
            _ => return None,
        };
        Some(Self { id: URL_SAFE_NO_PAD.encode(Sha256::digest(der)), numbers })
    }

    /// All keys in a PEM text: public ones, and the public halves of private ones and of certificates.
    pub(crate) fn all_from_pem(pem: &[u8]) -> Vec<Self> {
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
        sections.filter_map(|section| Self::of_section(section.ok()?)).collect()
    }

    fn of_section((kind, der): (SectionKind, Vec<u8>)) -> Option<Self> {
        match kind {
            SectionKind::PublicKey => Self::from_spki(&der),
            SectionKind::Certificate => {
                let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(&der).ok()?;
                Self::from_spki(certificate.public_key().raw)
            }
            _ => SigningKey::of_section(kind, der).ok().map(|key| key.public().clone()),
        }
    }

    /// How tokens that are checked with this key are signed unless their header says otherwise.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match &self.numbers {
            Numbers::Rsa { .. } => Algorithm::Rs256,
            Numbers::Curve { algorithm, .. } => *algorithm,
        }
    }

    /// Whether this key made the signature of a token by this algorithm.
    pub(crate) fn verifies(&self, token: &Compact<'_>, algorithm: Algorithm) -> bool {
        let (signed, signature) = (token.signed.as_bytes(), &*token.signature);
        match &self.numbers {
            Numbers::Rsa { n, e } => algorithm.rsa().is_some_and(|how| {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(how, signed, signature).is_ok()
            }),
            Numbers::Curve { algorithm: own, point } if *own == algorithm => algorithm
                .ecdsa()
                .is_some_and(|how| UnparsedPublicKey::new(how, point).verify(signed, signature).is_ok()),
            Numbers::Curve { .. } => false,
        }
    }

    /// The key as a key set shows it.
    pub(crate) fn to_jwk(&self) -> serde_json::Value {
        let algorithm = self.algorithm().name();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.numbers {
            Numbers::Rsa { n, e } => json!({
                "use": "sig", "kty": "RSA", "kid": self.id, "alg": algorithm, "n": number(n), "e": number(e),
            }),
            Numbers::Curve { point, .. } => {
                // The first byte says that both coordinates follow.
                let (x, y) = point[1..].split_at(point.len() / 2);
                let crv = curve(x.len()).map_or("", |(name, _)| name);
                json!({
                    "use": "sig", "kty": "EC", "kid": self.id, "crv": crv, "alg": algorithm, "x": number(x),
                    "y": number(y),
                })
            }
        }
    }
}

/// A number without the zeros before it.
fn stripped(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::signing_key::tests::{RSA, key, keys};
    use super::*;

    #[test]
    fn what_a_key_signed_is_verified_by_it_as_a_key_set_shows_it() {
        for key in keys() {
            let token = key.sign(b"{}").unwrap();
            let parts = Compact::parse(&token).unwrap();
            let shown = PublicKey::from_jwk(&key.public().to_jwk().into()).unwrap();
            assert_eq!(&shown, key.public());
            let algorithm = Algorithm::named(&parts.algorithm).unwrap();
            assert!(shown.verifies(&parts, algorithm));
            for (_, other) in Algorithm::ALL.into_iter().filter(|(_, other)| *other != algorithm) {
                assert!(!shown.verifies(&parts, other), "{other:?}");
            }
        }
    }

    #[test]
    fn a_pem_text_may_hold_many_keys_of_any_form() {
        let (one, two) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let pem = format!("{}{}{}", one.serialize_pem(), two.public_key_pem(), RSA);
        let found = PublicKey::all_from_pem(pem.as_bytes());
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].id, SigningKey::from_pem(one.serialize_pem().as_bytes()).unwrap().public().id);
        assert_eq!(found[1].id, SigningKey::from_pem(two.serialize_pem().as_bytes()).unwrap().public().id);
        assert!(PublicKey::all_from_pem(b"nothing").is_empty());
    }

    #[test]
    fn keys_of_other_kinds_and_for_other_uses_are_none() {
        let good: serde_json::Value = key().public().to_jwk();
        let with = |name: &str, value: &str| {
            let mut jwk = good.clone();
            jwk[name] = json!(value);
            PublicKey::from_jwk(&jwk.into())
        };
        assert!(with("use", "sig").is_some());
        assert!(with("use", "enc").is_none());
        assert!(with("kty", "oct").is_none());
        assert!(with("crv", "P-384").is_none());
        assert!(with("x", "AA").is_none());
    }

    proptest! {
        #[test]
        fn any_key_of_a_set_is_read_or_left_out(
            kty in "RSA|EC|oct|", crv in "P-256|P-384|", x in "[A-Za-z0-9_-]{0,70}", y in "[A-Za-z0-9_-]{0,70}"
        ) {
            let jwk = json!({"kty": kty, "crv": crv, "x": x, "y": y, "n": x, "e": y});
            let token = key().sign(b"{}").unwrap();
            if let Some(read) = PublicKey::from_jwk(&jwk.into()) {
                prop_assert!(!read.verifies(&Compact::parse(&token).unwrap(), Algorithm::Es256));
            }
        }

        #[test]
        fn any_bytes_are_keys_or_none(bytes: Vec<u8>) {
            let _ = PublicKey::from_spki(&bytes);
            let _ = PublicKey::all_from_pem(&bytes);
        }
    }
}
