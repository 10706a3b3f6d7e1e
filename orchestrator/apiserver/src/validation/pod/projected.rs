//! Volumes that join several sources.

use wherry_schema::Value;

use super::mounts::check_file_path;
use super::volume::{check_file, check_items, check_mode};
use crate::object::Fields;
use crate::validation::template::check_label_selector;
use crate::validation::values::required;
use crate::validation::{Errors, Path, names, pod_certificates};

const KINDS: &[&str] =
    &["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
const TEN_MINUTES: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// The paths that sources of a volume have taken.
type Taken<'a> = Vec<&'a str>;

/// The rules of a projected volume.
pub(super) fn check(volume: &Value, path: &Path, errors: &mut Errors) {
    check_mode(volume, "defaultMode", path, errors);
    let mut taken: Taken<'_> = Vec::new();
    for (index, source) in volume.items("sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let given = || KINDS.iter().filter_map(|kind| Some((*kind, source.field(kind)?)));
        for (kind, projection) in given() {
            check_one((kind, projection), (path, &at.child(kind)), &mut taken, errors);
        }
        if given().count() > 1 {
            errors.forbidden(&at, "may not specify more than 1 volume type per source");
        }
    }
}

/// The rules of one source. `volume` is the path of the volume, which upstream names for conflicts.
fn check_one<'a>(
    (kind, projection): (&str, &'a Value),
    (volume, path): (&Path, &Path),
    taken: &mut Taken<'a>,
    errors: &mut Errors,
) {
    match kind {
        "secret" | "configMap" => {
            required(projection, "name", path, errors);
            check_items(projection, path, errors);
            for item in projection.items("items") {
                take(item.text("path"), projection.text("name"), volume, taken, errors);
            }
        }
        "downwardAPI" => {
            for file in projection.items("items") {
                check_file(file, path, errors);
                take(file.text("path"), file.text("path"), volume, taken, errors);
            }
        }
        "serviceAccountToken" => check_token(projection, (volume, path), errors),
        "clusterTrustBundle" => check_bundle(projection, (volume, path), taken, errors),
        _ => check_certificate(projection, path, errors),
    }
}

fn take<'a>(text: &'a str, shown: &str, volume: &Path, taken: &mut Taken<'a>, errors: &mut Errors) {
    if text.is_empty() {
        return;
    }
    if taken.contains(&text) {
        errors.invalid(volume, shown, "conflicting duplicate paths");
    }
    taken.push(text);
}

fn check_token(token: &Value, (volume, path): (&Path, &Path), errors: &mut Errors) {
    let (seconds, at) = (token.int("expirationSeconds").unwrap_or(0), path.child("expirationSeconds"));
    if seconds < TEN_MINUTES {
        errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > LONGEST {
        errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    if required(token, "path", volume, errors) {
        check_file_path(token.text("path"), &volume.child("path"), errors);
    }
}

fn check_bundle<'a>(
    bundle: &'a Value,
    (volume, path): (&Path, &Path),
    taken: &mut Taken<'a>,
    errors: &mut Errors,
) {
    let (name, signer) = (bundle.field("name").and_then(Value::as_str), bundle.text("signerName"));
    match name {
        Some("") => errors.required(&path.child("name"), "must be a valid object name"),
        Some(_) if bundle.has("signerName") => {
            let detail = "only one of name and signerName may be used";
            errors.invalid(path, "clusterTrustBundle", detail);
        }
        Some(name) => errors.problems(&path.child("name"), name, names::subdomain(name)),
        None if signer.is_empty() => {
            errors.required(path, "either name or signerName must be specified");
        }
        None => {}
    }
    if let Some(selector) = bundle.field("labelSelector") {
        check_label_selector(selector, &path.child("labelSelector"), errors);
    }
    if required(bundle, "path", path, errors) {
        check_file_path(bundle.text("path"), &path.child("path"), errors);
        take(bundle.text("path"), bundle.text("path"), volume, taken, errors);
    }
}

fn check_certificate(certificate: &Value, path: &Path, errors: &mut Errors) {
    const KEYS: &[&str] = &["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
    required(certificate, "signerName", path, errors);
    let key = certificate.text("keyType");
    if !KEYS.contains(&key) {
        errors.unsupported(&path.child("keyType"), key, KEYS);
    }
    let longest = pod_certificates::longest(certificate.text("signerName"));
    let at = path.child("maxExpirationSeconds");
    match certificate.int("maxExpirationSeconds") {
        Some(seconds) if seconds < 3600 => {
            errors.invalid(&at, seconds, "if provided, maxExpirationSeconds must be >= 3600");
        }
        Some(seconds) if seconds > longest => {
            errors.invalid(&at, seconds, &format!("if provided, maxExpirationSeconds must be <= {longest}"));
        }
        _ => {}
    }
    let annotations = certificate.map("userAnnotations");
    pod_certificates::check_user_annotations(annotations, &path.child("userAnnotations"), errors);
    let paths = ["credentialBundlePath", "keyPath", "certificateChainPath"];
    if paths.iter().all(|field| certificate.text(field).is_empty()) {
        let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.required(path, detail);
    }
    for field in paths.iter().filter(|field| !certificate.text(field).is_empty()) {
        check_file_path(certificate.text(field), &path.child(field), errors);
    }
}
