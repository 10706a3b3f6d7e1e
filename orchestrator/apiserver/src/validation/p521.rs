//! Signatures with keys of the curve P-521, which ring does not read.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{DerSignature, VerifyingKey};
use ring::digest::{self, Algorithm};

/// As long as the longest hash, and shorter than a number of the curve.
const LONGEST: usize = 64;

/// The hash of a signature algorithm of ECDSA.
pub(super) fn algorithm(oid: &str) -> Option<&'static Algorithm> {
    match oid {
        "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        _ => None,
    }
}

/// Whether this was signed, by its hash, with the key whose public half is that point of the curve.
pub(super) fn is_signed(point: &[u8], hash: &'static Algorithm, said: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_sec1_bytes(point) else { return false };
    let Ok(signature) = DerSignature::from_bytes(signature) else { return false };
    // A hash is a number; those who read signatures of this curve take none of SHA-256 but for the zeros before it.
    let hash = digest::digest(hash, said);
    let mut number = [0; LONGEST];
    let Some(end) = LONGEST.checked_sub(hash.as_ref().len()).and_then(|start| number.get_mut(start..)) else {
        return false;
    };
    end.copy_from_slice(hash.as_ref());
    key.verify_prehash(&number, &signature).is_ok()
}
