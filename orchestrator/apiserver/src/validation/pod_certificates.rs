//! Rules of PodCertificateRequests: whom a certificate is for, that whoever asks has the key, and what a signer may say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use wherry_schema::{Object, Value};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificates::check_signer_name;
use super::trust_bundles::certificate;
use super::{Errors, Path, Shown, conditions, meta, names, p521};
use crate::object::{self, Fields};

/// What becomes of a request, once.
pub(crate) const OUTCOMES: [&str; 3] = ["Issued", "Denied", "Failed"];

const MAX_UID: usize = 128;
const MAX_KEY: usize = 10 * 1024;
const MAX_CHAIN: usize = 100 * 1024;
/// What is asked for lasts an hour at least.
const SHORTEST: i64 = 3_600;
/// And 91 days at most, or a day where Kubernetes' own signers sign.
const LONGEST: i64 = 91 * 86_400;
const LONGEST_KUBERNETES: i64 = 86_400;
const TEN_MINUTES: i64 = 600;
const FIVE_MINUTES: i64 = 300;
const POSSESSION: &str = "could not verify proof-of-possession signature";

const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";

/// The longest life that may be asked of a signer.
pub(crate) fn longest(signer: &str) -> i64 {
    let domain = signer.split('/').next().unwrap_or_default();
    let of_kubernetes = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    if of_kubernetes { LONGEST_KUBERNETES } else { LONGEST }
}

/// The rules of a new request.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let signer = object.text("spec.signerName");
    check_signer_name(signer, &spec.child("signerName"), errors);
    let path = spec.child("unverifiedUserAnnotations");
    check_user_annotations(object.map("spec.unverifiedUserAnnotations"), &path, errors);
    let empty = Value::object();
    let fields = object.field("spec").unwrap_or(&empty);
    for (name, uid) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        errors.problems(&spec.child(name), fields.text(name), names::subdomain(fields.text(name)));
        let (at, uid) = (spec.child(uid), fields.text(uid));
        if uid.is_empty() {
            errors.invalid(&at, "", "must not be empty");
        } else if uid.len() > MAX_UID {
            errors.too_long(&at, MAX_UID);
        }
    }
    let (seconds, longest) = (fields.int("maxExpirationSeconds"), longest(signer));
    match seconds {
        None => errors.required(&spec.child("maxExpirationSeconds"), "must be set"),
        Some(seconds) if !(SHORTEST..=longest).contains(&seconds) => {
            let detail = format!("must be in the range [{SHORTEST}, {longest}]");
            errors.invalid(&spec.child("maxExpirationSeconds"), seconds, &detail);
        }
        Some(_) => check_key(object, errors),
    }
}

/// The rules of what a Pod tells a signer.
pub(crate) fn check_user_annotations(annotations: Option<&Object>, path: &Path, errors: &mut Errors) {
    meta::check_annotations(annotations, path, errors);
    for key in annotations.into_iter().flat_map(Object::keys).filter(|key| !key.contains('/')) {
        errors.invalid(path, key.as_str(), "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
}

/// A key, either with a signature of the Pod's UID or in a request that is signed with it.
fn check_key(object: &Value, errors: &mut Errors) {
    let bytes = |field: &str| STANDARD.decode(object.text(&format!("spec.{field}"))).unwrap_or_default();
    let fields = ["stubPKCS10Request", "pkixPublicKey", "proofOfPossession"];
    let [request, key, proof] = fields.map(bytes);
    for (field, bytes) in fields.iter().zip([&request, &key, &proof]) {
        if bytes.len() > MAX_KEY {
            errors.too_long(&Path::new("spec").child(field), MAX_KEY);
            return;
        }
    }
    match (request.is_empty(), key.is_empty(), proof.is_empty()) {
        (false, true, true) => check_request(&request, errors),
        (true, false, false) => check_proof(&key, &proof, object.text("spec.podUID"), errors),
        _ => errors.invalid_without_value(
            &Path::new("spec"),
            "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set",
        ),
    }
}

fn check_request(der: &[u8], errors: &mut Errors) {
    let path = Path::new("spec.stubPKCS10Request");
    let parsed = X509CertificationRequest::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    let Some((_, request)) = parsed else {
        return errors.invalid_without_value(&path, "must be a valid PKCS#10 CSR");
    };
    match Key::of(&request.certification_request_info.subject_pki) {
        Err(detail) => errors.invalid_without_value(&path, &detail),
        Ok(key) if !is_signed(&request, &key) => errors.invalid_without_value(&path, POSSESSION),
        Ok(_) => {}
    }
}

fn is_signed(request: &X509CertificationRequest<'_>, key: &Key) -> bool {
    let Key::P521 = key else { return request.verify_signature().is_ok() };
    let info = &request.certification_request_info;
    p521::algorithm(&request.signature_algorithm.algorithm.to_id_string()).is_some_and(|digest| {
        let point = &info.subject_pki.subject_public_key.data;
        p521::is_signed(point, digest, info.raw, &request.signature_value.data)
    })
}

fn check_proof(key: &[u8], proof: &[u8], uid: &str, errors: &mut Errors) {
    let path = Path::new("spec.pkixPublicKey");
    let parsed = SubjectPublicKeyInfo::from_der(key).ok().filter(|(rest, _)| rest.is_empty());
    let Some((_, info)) = parsed else {
        return errors.invalid_without_value(&path, "must be a valid PKIX-serialized public key");
    };
    let (public, uid) = (&info.subject_public_key.data, uid.as_bytes());
    let by = |algorithm: &'static dyn VerificationAlgorithm| {
        UnparsedPublicKey::new(algorithm, public).verify(uid, proof).is_ok()
    };
    let is_proven = match Key::of(&info) {
        Err(detail) => return errors.invalid_without_value(&path, &detail),
        Ok(Key::Ed25519) => by(&signature::ED25519),
        Ok(Key::P256) => by(&signature::ECDSA_P256_SHA256_ASN1),
        Ok(Key::P384) => by(&signature::ECDSA_P384_SHA256_ASN1),
        Ok(Key::P521) => p521::is_signed(public, &digest::SHA256, uid, proof),
        Ok(Key::Rsa) => by(&signature::RSA_PSS_2048_8192_SHA256),
    };
    if !is_proven {
        errors.invalid_without_value(&Path::new("spec.proofOfPossession"), POSSESSION);
    }
}

/// The kinds of keys that certificates are for.
enum Key {
    Ed25519,
    P256,
    P384,
    P521,
    Rsa,
}

impl Key {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        if info.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 {
            return Ok(Self::Ed25519);
        }
        match info.parsed() {
            Ok(PublicKey::RSA(key)) => match key.modulus.iter().skip_while(|byte| **byte == 0).count() * 8 {
                3072 | 4096 => Ok(Self::Rsa),
                _ => Err("RSA keys must have modulus size 3072 or 4096".to_owned()),
            },
            Ok(PublicKey::EC(_)) => {
                let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
                match curve.map(|oid| oid.to_id_string()).as_deref() {
                    Some(P256) => Ok(Self::P256),
                    Some(P384) => Ok(Self::P384),
                    Some(P521) => Ok(Self::P521),
                    // In upstream's words, which leave the third out.
                    _ => Err("elliptic public keys must use curve P256 or P384".to_owned()),
                }
            }
            _ => Err("unknown public key type; supported types are Ed25519, ECDSA, and RSA".to_owned()),
        }
    }
}

/// The rules of a change of the status, but for the time of day: it changes once, to an outcome.
pub(crate) fn check_status(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let list = path.child("conditions");
    let known = errors.causes().len();
    for (index, condition) in object.items("status.conditions").iter().enumerate() {
        let (at, kind) = (list.index(index), condition.text("type"));
        if !OUTCOMES.contains(&kind) {
            errors.unsupported(&at.child("type"), kind, &OUTCOMES);
            continue;
        }
        if index > 0 {
            let detail = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.invalid(&at.child("type"), kind, detail);
        }
        if condition.text("status") != "True" {
            errors.unsupported(&at.child("status"), condition.text("status"), &["True"]);
        }
    }
    conditions::check(object.items("status.conditions"), &list, errors);
    if errors.causes().len() > known {
        return;
    }
    let same = object::same(object, old, "status");
    match (outcome(old), outcome(object)) {
        (Some(_), _) if !same => {
            let detail = "immutable after PodCertificateRequest is issued, denied, or failed";
            errors.invalid_without_value(&path, detail);
        }
        (None, None) if !same => {
            let detail = "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
            errors.invalid_without_value(&path, detail);
        }
        (None, Some("Issued")) => {
            if let Err((field, detail)) = check_issued(object) {
                errors.invalid(&path.child(field), Shown::raw("\"<value omitted>\""), &detail);
            }
        }
        (None, Some(_)) => {
            let others = object.map("status").into_iter().flat_map(Object::iter);
            if others.into_iter().any(|(field, value)| field != "conditions" && !value.is_null()) {
                let detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
                errors.invalid_without_value(&path, detail);
            }
        }
        _ => {}
    }
}

/// What became of a request; none while it waits.
fn outcome(object: &Value) -> Option<&str> {
    let mut kinds = object.items("status.conditions").iter().map(|condition| condition.text("type"));
    kinds.find(|kind| OUTCOMES.contains(kind))
}

/// The rules of a certificate that is handed out, and what is said of it.
fn check_issued(object: &Value) -> Result<(), (&'static str, String)> {
    let chain = |detail: &str| ("certificateChain", detail.to_owned());
    let text = object.text("status.certificateChain");
    if text.len() > MAX_CHAIN {
        return Err(chain(&format!("may not be more than {MAX_CHAIN} bytes")));
    }
    let blocks = pem::parse_many(text).map_err(|_| chain("issued certificate chain must be PEM blocks"))?;
    let leaf = blocks
        .first()
        .ok_or_else(|| chain("issued certificate chain must contain at least one certificate"))?;
    if blocks.iter().any(|block| block.tag() != "CERTIFICATE") {
        return Err(chain("issued certificate chain must consist entirely of CERTIFICATE PEM blocks"));
    }
    let leaf = certificate(leaf.contents())
        .ok_or_else(|| chain("leaf certificate does not parse as valid X.509"))?;
    if blocks.iter().any(|block| certificate(block.contents()).is_none()) {
        return Err(chain("intermediate certificate does not parse as valid X.509"));
    }
    check_names(&leaf).map_err(|detail| chain(&detail))?;
    if !is_for(object, &leaf) {
        return Err(chain("leaf certificate was not issued to the requested public key"));
    }
    check_times(object, &leaf)
}

fn check_names(leaf: &X509Certificate<'_>) -> Result<(), String> {
    let names = leaf.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName("") => {
                return Err("leaf certificate should not contain empty DNSName".to_owned());
            }
            GeneralName::DNSName(name) if name.contains("..") => {
                return Err("leaf certificate's DNSName should not contain '..'".to_owned());
            }
            GeneralName::DNSName(name) if name.starts_with('.') || name.ends_with('.') => {
                return Err("leaf certificate's DNSName should not start or end with '.'".to_owned());
            }
            GeneralName::RFC822Name(name)
                if !name.split_once('@').is_some_and(|(user, host)| {
                    !user.is_empty() && !host.is_empty() && !name.contains(char::is_whitespace)
                }) =>
            {
                return Err("leaf certificate should not contain invalid EmailAddress".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a certificate is for the key that was asked with.
fn is_for(object: &Value, leaf: &X509Certificate<'_>) -> bool {
    let bytes = |field| STANDARD.decode(object.text(field)).unwrap_or_default();
    let (request, key) = (bytes("spec.stubPKCS10Request"), bytes("spec.pkixPublicKey"));
    let own = leaf.public_key().raw;
    match X509CertificationRequest::from_der(&request) {
        Ok((_, request)) => request.certification_request_info.subject_pki.raw == own,
        Err(_) => key == own,
    }
}

fn check_times(object: &Value, leaf: &X509Certificate<'_>) -> Result<(), (&'static str, String)> {
    let time = |field: &'static str, needed: &str| {
        let text = object.text(&format!("status.{field}"));
        let parsed = text.parse::<Timestamp>().ok().map(Timestamp::as_second);
        parsed.ok_or_else(|| (field, format!("must be present and {needed}")))
    };
    let consistent = "consistent with the issued certificate";
    let begin = time("notBefore", consistent)?;
    let end = time("notAfter", consistent)?;
    let refresh = time("beginRefreshAt", "in the range [notbefore+10min, notafter-10min]")?;
    let own = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let life = own.1 - own.0;
    let longest = object.int("spec.maxExpirationSeconds").unwrap_or_default();
    let rules = [
        (begin == own.0, "notBefore", "must be set to the NotBefore time encoded in the leaf certificate"),
        (end == own.1, "notAfter", "must be set to the NotAfter time encoded in the leaf certificate"),
        (life >= SHORTEST, "certificateChain", "leaf certificate lifetime must be >= 1 hour"),
        (
            life <= longest,
            "certificateChain",
            "leaf certificate lifetime must be <= spec.maxExpirationSeconds",
        ),
        (
            refresh >= begin + TEN_MINUTES,
            "beginRefreshAt",
            "must be at least 10 minutes after status.notBefore",
        ),
        (
            refresh <= end - TEN_MINUTES,
            "beginRefreshAt",
            "must be at least 10 minutes before status.notAfter",
        ),
    ];
    match rules.into_iter().find(|(holds, ..)| !holds) {
        Some((_, field, detail)) => Err((field, detail.to_owned())),
        None => Ok(()),
    }
}

/// That a certificate which is handed out begins about now.
pub(crate) fn check_begin(object: &Value, old: &Value, now: Timestamp) -> Errors {
    let mut errors = Errors::default();
    let begin = object.text("status.notBefore");
    if outcome(old).is_none()
        && let Ok(time) = begin.parse::<Timestamp>()
        && time.as_second().abs_diff(now.as_second()) >= FIVE_MINUTES.unsigned_abs()
    {
        let detail = "must be set to within 5 minutes of kube-apiserver's current time";
        errors.invalid(&Path::new("status.notBefore"), begin, detail);
    }
    errors
}

#[cfg(test)]
#[path = "pod_certificates_tests.rs"]
mod tests;
