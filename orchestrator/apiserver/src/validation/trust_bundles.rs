//! Rules of ClusterTrustBundles: what they are called, and what certificates they hold.

use std::collections::HashMap;

use wherry_schema::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::check_signer_name;
use super::{Errors, Path, Shown, names};
use crate::object::{self, Fields};

/// The longest bundle, in bytes.
const MAX_BUNDLE: usize = 1024 * 1024;

/// The rules every bundle keeps: a signer's are called by its name.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let (signer, metadata) = (object.text("spec.signerName"), Path::new("metadata"));
    for (field, is_prefix) in [("name", false), ("generateName", true)] {
        let name = object.field("metadata").map_or("", |metadata| metadata.text(field));
        for problem in problems(name, is_prefix, signer) {
            errors.invalid(&metadata.child(field), name, &problem);
        }
    }
    if !signer.is_empty() {
        check_signer_name(signer, &Path::new("spec.signerName"), errors);
    }
}

fn problems(name: &str, is_prefix: bool, signer: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    let prefix = if signer.is_empty() { String::new() } else { format!("{}:", signer.replace('/', ":")) };
    let Some(rest) = name.strip_prefix(&prefix) else {
        return vec![format!(
            "ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
        )];
    };
    if signer.is_empty() && name.contains(':') {
        return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
    }
    if is_prefix { names::subdomain(&names::without_end(rest)) } else { names::subdomain(rest) }
}

/// What an update may not change, and that new content is good.
pub(crate) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "spec.trustBundle") {
        check_bundle(object, errors);
    }
    if !object::same(object, old, "spec.signerName") {
        let signer = object.text("spec.signerName");
        errors.invalid(&Path::new("spec.signerName"), signer, "field is immutable");
    }
}

/// A bundle is certificates of authorities, each once, and nothing else.
pub(crate) fn check_bundle(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec.trustBundle");
    let text = object.text("spec.trustBundle");
    if text.len() > MAX_BUNDLE {
        errors.too_long(&path, MAX_BUNDLE);
        return;
    }
    for problem in bundle_problems(text) {
        errors.invalid(&path, Shown::raw("\"<value omitted>\""), &problem);
    }
}

fn bundle_problems(text: &str) -> Vec<String> {
    let Ok(blocks) = pem::parse_many(text) else {
        return vec!["does not parse as PEM blocks".to_owned()];
    };
    let problems =
        blocks.iter().enumerate().filter_map(|(at, block)| Some(format!("entry {at} {}", problem(block)?)));
    let problems: Vec<String> = problems.collect();
    if !problems.is_empty() {
        return problems;
    }
    if blocks.is_empty() {
        return vec!["at least one trust anchor must be provided".to_owned()];
    }
    let mut places: HashMap<&[u8], Vec<String>> = HashMap::new();
    for (at, block) in blocks.iter().enumerate() {
        places.entry(block.contents()).or_default().push(at.to_string());
    }
    let mut twice: Vec<Vec<String>> = places.into_values().filter(|places| places.len() > 1).collect();
    twice.sort();
    twice.iter().map(|places| format!("duplicate trust anchor (indices [{}])", places.join(" "))).collect()
}

/// What is wrong with an entry.
fn problem(block: &pem::Pem) -> Option<String> {
    if block.tag() != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", block.tag()));
    }
    if block.headers().iter().next().is_some() {
        return Some("has PEM block headers".to_owned());
    }
    let Some(certificate) = certificate(block.contents()) else {
        return Some("does not parse as X.509".to_owned());
    };
    if certificate.is_ca() { None } else { Some("does not have the CA bit set".to_owned()) }
}

/// A certificate that is all there is in these bytes.
pub(super) fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn certificate(is_ca: bool) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        if is_ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params.self_signed(&key).unwrap().pem()
    }

    #[rstest]
    #[case("a", "", &[])]
    #[case("a:b", "", &["without signer name must not have"])]
    #[case("example.com:s:a.b", "example.com/s", &[])]
    #[case("a.b", "example.com/s", &["must be named with prefix example.com:s:"])]
    #[case("example.com:t:a", "example.com/s", &["must be named with prefix"])]
    #[case("example.com:s:A", "example.com/s", &["RFC 1123 subdomain"])]
    #[case("example.com:s:", "example.com/s", &["RFC 1123 subdomain"])]
    fn bundles_of_a_signer_are_called_by_its_name(
        #[case] name: &str,
        #[case] signer: &str,
        #[case] wanted: &[&str],
    ) {
        let found = problems(name, false, signer);
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        assert!(found.iter().zip(wanted).all(|(found, wanted)| found.contains(wanted)), "{found:?}");
    }

    #[test]
    fn a_bundle_holds_authorities_each_once() {
        let (one, other, leaf) = (certificate(true), certificate(true), certificate(false));
        assert_eq!(bundle_problems(&format!("text\n{one}more\n{other}")), [""; 0]);
        assert_eq!(bundle_problems(""), ["at least one trust anchor must be provided"]);
        assert_eq!(bundle_problems(&format!("{one}{leaf}")), ["entry 1 does not have the CA bit set"]);
        let twice = format!("{one}{other}{one}");
        assert_eq!(bundle_problems(&twice), ["duplicate trust anchor (indices [0 2])"]);
        let renamed = one.replace("CERTIFICATE", "PUBLIC KEY");
        assert_eq!(bundle_problems(&renamed), ["entry 0 has bad block type: PUBLIC KEY"]);
        let headed = one.replacen("-----\n", "-----\nA: b\n\n", 1);
        assert_eq!(bundle_problems(&headed), ["entry 0 has PEM block headers"]);
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(bundle_problems(nonsense), ["entry 0 does not parse as X.509"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in r"((-----(BEGIN|END) [A-Z]{0,3}-----\n)|[A-Za-z0-9+/=:\n]|\PC){0,80}") {
            let _ = bundle_problems(&text);
        }
    }
}
