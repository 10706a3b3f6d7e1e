//! Keys of the curve P-521, which neither ring nor rcgen know.

use p521::SecretKey;
use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{DerSignature, SigningKey};
use p521::elliptic_curve::Generate as _;
use p521::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};

use super::keys::KeyError;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// The version of requests of PKCS#10.
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
/// A subject of no words.
const NOBODY: [u8; 2] = [SEQUENCE, 0x00];
/// No wishes: the first field that may be left out, and may not be absent.
const NO_ATTRIBUTES: [u8; 2] = [0xa0, 0x00];
/// ecdsa-with-SHA512, 1.2.840.10045.4.3.4.
const ALGORITHM: [u8; 12] = [SEQUENCE, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];

/// A new key in PKCS#8, and a request of PKCS#10 that says nothing but the public key, signed with it.
pub(super) fn generate() -> Result<(Vec<u8>, Vec<u8>), KeyError> {
    let key = SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng)?;
    let public = key.public_key().to_public_key_der().map_err(rsa::pkcs8::Error::from)?;
    let info = tagged(SEQUENCE, &[&VERSION, &NOBODY, public.as_bytes(), &NO_ATTRIBUTES]);
    let signature: DerSignature = SigningKey::from(&key).sign(&info);
    let signature = tagged(BIT_STRING, &[&[0], signature.as_bytes()]);
    let request = tagged(SEQUENCE, &[&info, &ALGORITHM, &signature]);
    Ok((key.to_pkcs8_der()?.as_bytes().to_vec(), request))
}

/// A value of DER of up to 64 kB.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let [high, low] = u16::try_from(contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, contents].concat()
}

#[cfg(test)]
mod tests {
    use p521::ecdsa::VerifyingKey;
    use p521::ecdsa::signature::Verifier as _;
    use p521::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    #[test]
    fn a_key_signs_a_request_that_says_nothing_else() {
        let (key, request) = generate().unwrap();
        let (rest, parsed) = X509CertificationRequest::from_der(&request).unwrap();
        let info = &parsed.certification_request_info;
        assert!(rest.is_empty() && info.subject.iter().count() == 0 && info.attributes().is_empty());
        assert_eq!(parsed.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.4");
        let public = VerifyingKey::from_public_key_der(info.subject_pki.raw).unwrap();
        assert_eq!(public, *SigningKey::from_pkcs8_der(&key).unwrap().verifying_key());
        let signature = DerSignature::from_bytes(&parsed.signature_value.data).unwrap();
        public.verify(info.raw, &signature).unwrap();
    }

    #[test]
    fn lengths_take_as_few_bytes_as_there_can_be() {
        for (length, header) in [
            (0, &[4, 0][..]),
            (0x7f, &[4, 0x7f]),
            (0x80, &[4, 0x81, 0x80]),
            (0xff, &[4, 0x81, 0xff]),
            (0x100, &[4, 0x82, 1, 0]),
        ] {
            let written = tagged(4, &[&vec![7; length]]);
            assert_eq!(written.strip_suffix(&vec![7; length][..]), Some(header), "{length}");
        }
    }
}
