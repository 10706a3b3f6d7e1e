//! Rules of CertificateSigningRequests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wherry_schema::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::{Errors, Path, Shown, names};
use crate::object::{self, Fields};

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const SHORTEST: i64 = 600;
const SUBDOMAIN_MAX: usize = 253;
/// A domain, a slash, and a name that a label and a subdomain fit in.
const SIGNER_MAX: usize = SUBDOMAIN_MAX + 1 + SUBDOMAIN_MAX + 1 + 63;
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Which part of a request an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Neither decision nor certificate.
    Whole,
    /// Whether it is approved or denied.
    Approval,
    /// The certificate, and other conditions.
    Status,
}

/// The rules every request keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let request = object.text("spec.request");
    if let Err(reason) = check_request(request) {
        errors.invalid(&spec.child("request"), request, &reason);
    }
    let usages = object.items("spec.usages");
    if usages.is_empty() {
        errors.required(&spec.child("usages"), "");
    }
    for (index, usage) in usages.iter().enumerate() {
        errors.one_of(usage.as_str().unwrap_or_default(), &spec.child("usages").index(index), USAGES);
    }
    for (index, usage) in usages.iter().enumerate() {
        if usages[..index].contains(usage) {
            errors.duplicate(&spec.child("usages").index(index), usage);
        }
    }
    check_signer(object.text("spec.signerName"), &spec.child("signerName"), errors);
    if let Some(seconds) = object.int("spec.expirationSeconds").filter(|seconds| *seconds < SHORTEST) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&spec.child("expirationSeconds"), seconds, detail);
    }
    check_conditions(object.items("status.conditions"), errors);
}

/// The bytes of a base64 text hold a request that is signed with its own key.
fn check_request(base64: &str) -> Result<(), String> {
    let pem = STANDARD.decode(base64).unwrap_or_default();
    let block = Pem::iter_from_buffer(&pem).next().and_then(Result::ok);
    let block = block
        .filter(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (rest, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|_| "asn1: structure error")?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    request
        .verify_signature()
        .map_err(|_| "x509: signature does not match the request's public key".to_owned())
}

/// The organizations that the subject of a request names.
pub(crate) fn organizations(object: &Value) -> Vec<String> {
    let pem = STANDARD.decode(object.text("spec.request")).unwrap_or_default();
    let Some(Ok(block)) = Pem::iter_from_buffer(&pem).next() else { return Vec::new() };
    let Ok((_, request)) = X509CertificationRequest::from_der(&block.contents) else { return Vec::new() };
    let names = request.certification_request_info.subject.iter_organization();
    names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// The common name in the subject of a request; empty if it has none.
pub(crate) fn common_name(object: &Value) -> Result<String, String> {
    let pem = STANDARD.decode(object.text("spec.request")).unwrap_or_default();
    let block = Pem::iter_from_buffer(&pem).next().and_then(Result::ok);
    let block = block
        .filter(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (_, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|_| "asn1: structure error")?;
    let mut names = request.certification_request_info.subject.iter_common_name();
    Ok(names.next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned())
}

/// A domain and a path: `example.com/signer`.
fn check_signer(signer: &str, path: &Path, errors: &mut Errors) {
    if signer == LEGACY_SIGNER {
        errors.invalid(path, signer, "the legacy signerName is not allowed via this API version");
        return;
    }
    check_signer_name(signer, path, errors);
}

/// What every signer is called.
pub(crate) fn check_signer_name(signer: &str, path: &Path, errors: &mut Errors) {
    let form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    if signer.is_empty() {
        errors.required(path, "");
        return;
    }
    let Some((domain, name)) = signer.split_once('/').filter(|(_, name)| !name.contains('/')) else {
        errors.invalid(path, signer, form);
        return;
    };
    if domain.len() > SUBDOMAIN_MAX {
        errors.too_long(path, SUBDOMAIN_MAX);
    }
    check_parts(domain, names::label, path, errors);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.invalid(path, domain, detail);
    }
    check_parts(name, names::subdomain, path, errors);
    if signer.len() > SIGNER_MAX {
        errors.too_long(path, SIGNER_MAX);
    }
}

/// The first part of a dotted text that breaks its rule is reported.
fn check_parts(text: &str, rule: fn(&str) -> names::Problems, path: &Path, errors: &mut Errors) {
    let broken = text.split('.').map(|part| (part, rule(part))).find(|(_, problems)| !problems.is_empty());
    let (part, problems) = broken.unwrap_or_default();
    for problem in problems {
        errors.invalid(path, text, &format!("validating label {part:?}: {problem}"));
    }
}

fn check_conditions(conditions: &[Value], errors: &mut Errors) {
    let list = Path::new("status.conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let (path, kind) = (list.index(index), condition.text("type"));
        errors.some_text(kind, &path.child("type"));
        let only_true = DECISIONS.contains(&kind) || kind == "Failed";
        let allowed: &[&str] = if only_true { &["True"] } else { &["False", "True", "Unknown"] };
        match condition.text("status") {
            "" => errors.required(&path.child("status"), ""),
            status => errors.one_of(status, &path.child("status"), allowed),
        }
        let earlier = |kind: &str| conditions[..index].iter().any(|other| other.text("type") == kind);
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !opposite.is_empty() && earlier(opposite) {
            errors.invalid(&list, kind, "Approved and Denied conditions are mutually exclusive");
        }
        if earlier(kind) {
            errors.duplicate(&path.child("type"), kind);
        }
    }
}

/// What an update may not change.
pub(crate) fn check_update(object: &Value, old: &Value, change: Change, errors: &mut Errors) {
    let path = Path::new("status.conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(object, kind).len() < of_kind(old, kind).len() {
            errors.forbidden(&path, &format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    if change != Change::Approval {
        for kind in DECISIONS {
            let (new, before) = (of_kind(object, kind), of_kind(old, kind));
            if new.len() > before.len() {
                errors.forbidden(&path, &format!("updates may not add a condition of type {kind:?}"));
            } else if new.len() == before.len() && new != before {
                errors.forbidden(&path, &format!("updates may not modify a condition of type {kind:?}"));
            }
        }
    }
    check_certificate(object, old, change, errors);
}

fn of_kind<'a>(object: &'a Value, kind: &str) -> Vec<&'a Value> {
    object.items("status.conditions").iter().filter(|c| c.text("type") == kind).collect()
}

fn check_certificate(object: &Value, old: &Value, change: Change, errors: &mut Errors) {
    if object::same(object, old, "status.certificate") {
        return;
    }
    let (path, certificate) = (Path::new("status.certificate"), object.text("status.certificate"));
    if let Err(reason) = check_chain(certificate) {
        errors.invalid(&path, Shown::from("<certificate data>"), &reason);
    }
    if change != Change::Status {
        errors.forbidden(&path, "updates may not set certificate content");
    } else if !old.text("status.certificate").is_empty() {
        errors.forbidden(&path, "updates may not modify existing certificate content");
    }
}

/// The bytes of a base64 text hold certificates and nothing else.
fn check_chain(base64: &str) -> Result<(), String> {
    let pem = STANDARD.decode(base64).unwrap_or_default();
    if pem.is_empty() {
        return Ok(());
    }
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&pem).map_while(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        block.parse_x509().map_err(|_| "x509: malformed certificate")?;
        blocks += 1;
    }
    if blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use base64::Engine;

    use super::{Errors, Path, STANDARD, check_chain, check_request, check_signer};

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = STANDARD.encode(&bytes);
            let _ = (check_request(&text).is_ok(), check_chain(&text).is_ok());
        }
    }

    #[test]
    fn a_signer_is_a_domain_and_a_name() {
        let long = format!("a.b/{}", "c.".repeat(300) + "c");
        for (signer, wanted) in [
            ("example.com/s", &[][..]),
            ("example.com/s.t", &[]),
            ("a/b", &["\"a\": should be a domain with at least two segments separated by dots"]),
            ("a.B_/b", &["\"a.B_\": validating label \"B_\": a lowercase RFC 1123 label"]),
            ("a.b/", &["\"\": validating label \"\": a lowercase RFC 1123 subdomain"]),
            ("a.b/c/d", &["\"a.b/c/d\": must be a fully qualified domain and path"]),
            (long.as_str(), &["Too long: may not be more than 571 bytes"]),
        ] {
            let mut errors = Errors::default();
            check_signer(signer, &Path::new("s"), &mut errors);
            let told: Vec<&str> = errors.causes().iter().map(|cause| cause.message.as_str()).collect();
            assert_eq!(told.len(), wanted.len(), "{signer}: {told:?}");
            assert!(told.iter().zip(wanted).all(|(told, wanted)| told.contains(wanted)), "{told:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(check_request("eA==").unwrap_err(), "PEM block type must be CERTIFICATE REQUEST");
        assert_eq!(check_chain("eA==").unwrap_err(), "must contain at least one CERTIFICATE PEM block");
        assert!(check_chain("").is_ok());
    }
}
