//! Tests of what is granted, for how long, and when it is forgotten.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::request::{AlternativeName, Request};
use super::signer::{Action, lifetime};
use super::{approver, cleaner, rules, signer};

const HOUR: Duration = Duration::from_hours(1);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The PEM text of a request for these names.
fn pem(common_name: &str, organization: &str, names: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if !organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.subject_alt_names = names;
    let key = KeyPair::generate().unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap().into_bytes()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

/// A request for a certificate, made by a user at second 0, with this status.
fn request(
    (signer, usages): (&str, &[&str]),
    user: &str,
    pem: Vec<u8>,
    status: Value,
) -> CertificateSigningRequest {
    let spec = json!({"request": "", "signerName": signer, "usages": usages, "username": user});
    let metadata = json!({"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"});
    let mut object = json!({"metadata": metadata, "spec": spec});
    object["status"] = status;
    let mut request: CertificateSigningRequest = serde_json::from_value(object).unwrap();
    request.spec.request = ByteString(pem);
    request
}

fn node_pem() -> Vec<u8> {
    pem("system:node:n", "system:nodes", Vec::new())
}

const NODE_CLIENT: (&str, &[&str]) = (rules::KUBELET_CLIENT, &["digital signature", "client auth"]);

fn rights(request: &CertificateSigningRequest) -> Vec<&'static str> {
    approver::plan(request).iter().map(|right| right.subresource).collect()
}

fn decided(kind: &str) -> Value {
    json!({"conditions": [{"type": kind, "status": "True", "lastUpdateTime": "1970-01-01T00:10:00Z"}]})
}

#[test]
fn a_nodes_client_certificate_needs_one_of_two_rights() {
    let of = |user: &str, status: Value| request(NODE_CLIENT, user, node_pem(), status);
    assert_eq!(rights(&of("system:bootstrap:abcdef", json!({}))), ["nodeclient"]);
    assert_eq!(rights(&of("system:node:n", json!({}))), ["selfnodeclient", "nodeclient"]);
    for status in [decided("Approved"), decided("Denied"), json!({"certificate": "eA=="})] {
        assert_eq!(rights(&of("system:node:n", status)), [""; 0]);
    }
}

#[test]
fn what_is_not_a_nodes_client_certificate_is_left_to_people() {
    let of = |kind, pem| request(kind, "system:node:n", pem, json!({}));
    let serving: (&str, &[&str]) = (rules::KUBELET_SERVING, &["digital signature", "server auth"]);
    let too_much: (&str, &[&str]) = (rules::KUBELET_CLIENT, &["client auth", "server auth"]);
    for other in [
        of(serving, pem("system:node:n", "system:nodes", vec![dns("n")])),
        of((rules::CLIENT, NODE_CLIENT.1), node_pem()),
        of(too_much, node_pem()),
        of(NODE_CLIENT, pem("system:node:n", "system:masters", Vec::new())),
        of(NODE_CLIENT, pem("admin", "system:nodes", Vec::new())),
        of(NODE_CLIENT, pem("system:node:n", "system:nodes", vec![dns("n")])),
        of(NODE_CLIENT, b"nothing".to_vec()),
    ] {
        assert_eq!(rights(&other), [""; 0], "{:?}", other.spec);
    }
}

/// The name `CN=first, CN=last`, which rcgen does not make.
#[test]
fn of_two_common_names_the_last_alone_is_certified() {
    // A request for CN=system:node:a, CN=system:node:b, O=system:nodes, made with openssl.
    let pem = include_bytes!("two_names.pem");
    let request = Request::parse(pem).unwrap();
    assert_eq!(request.common_name(), "system:node:b");
    assert_eq!(request.subject.len(), 2, "{:?}", request.subject);
}

#[rstest]
#[case(rules::CLIENT, &["client auth", "digital signature"], "")]
#[case(rules::CLIENT, &["client auth", "server auth"], "invalid usage for client certificate: server auth")]
#[case(rules::CLIENT, &["digital signature"], "missing required usage for client certificate: client auth")]
#[case(rules::LEGACY, &["any"], "")]
#[case(rules::KUBELET_CLIENT, &["client auth", "digital signature"], "subject organization is not system:nodes")]
fn a_users_request_is_refused_in_words(#[case] signer: &str, #[case] usages: &[&str], #[case] why: &str) {
    let usages: Vec<String> = usages.iter().map(|usage| (*usage).to_owned()).collect();
    let asked = Request::parse(&pem("u", "dev", Vec::new())).unwrap();
    let told = rules::check(signer, &asked, &usages).unwrap().err().unwrap_or_default();
    assert_eq!(told, why);
}

#[rstest]
#[case(rules::KUBELET_CLIENT, "client auth", vec![dns("n")], "DNS subjectAltNames are not allowed")]
#[case(rules::KUBELET_CLIENT, "client auth", vec![ip("::1")], "IP subjectAltNames are not allowed")]
#[case(rules::KUBELET_CLIENT, "any", vec![],
    "usages did not match [client auth digital signature key encipherment]")]
#[case(rules::KUBELET_SERVING, "server auth", vec![], "DNS or IP subjectAltName is required")]
#[case(rules::KUBELET_SERVING, "server auth", vec![dns("n"), SanType::URI("a:b".try_into().unwrap())],
    "URI subjectAltNames are not allowed")]
#[case(rules::KUBELET_SERVING, "server auth", vec![dns("n"), SanType::Rfc822Name("a@b".try_into().unwrap())],
    "Email subjectAltNames are not allowed")]
#[case(rules::KUBELET_SERVING, "client auth", vec![ip("10.0.0.1")],
    "usages did not match [digital signature key encipherment server auth]")]
#[case(rules::KUBELET_SERVING, "server auth", vec![ip("10.0.0.1"), dns("n")], "")]
fn a_nodes_request_is_refused_in_words(
    #[case] signer: &str,
    #[case] purpose: &str,
    #[case] names: Vec<SanType>,
    #[case] why: &str,
) {
    let usages = ["digital signature".to_owned(), purpose.to_owned()];
    let asked = Request::parse(&pem("system:node:n", "system:nodes", names)).unwrap();
    let told = rules::check(signer, &asked, &usages).unwrap().err().unwrap_or_default();
    assert_eq!(told, why);
}

#[test]
fn only_what_is_approved_and_neither_failed_nor_signed_is_signed() {
    let of = |signer: &str, status: Value| {
        let request = request((signer, NODE_CLIENT.1), "u", node_pem(), status);
        signer::plan(&request, at(1_000_000_000), at(0))
    };
    assert!(matches!(of(rules::KUBELET_CLIENT, decided("Approved")), Some(Action::Sign(_))));
    assert_eq!(of(rules::KUBELET_CLIENT, json!({})), None);
    assert_eq!(of(rules::KUBELET_CLIENT, decided("Denied")), None);
    assert_eq!(of("example.com/other", decided("Approved")), None);
    let mut status = decided("Approved");
    status["certificate"] = json!("eA==");
    assert_eq!(of(rules::KUBELET_CLIENT, status), None);
    let mut status = decided("Approved");
    status["conditions"].as_array_mut().unwrap().push(json!({"type": "Failed", "status": "True"}));
    assert_eq!(of(rules::KUBELET_CLIENT, status), None);
    let why = "DNS or IP subjectAltName is required".to_owned();
    assert_eq!(of(rules::KUBELET_SERVING, decided("Approved")), Some(Action::Fail(why)));
}

#[test]
fn nothing_but_names_is_taken_over_from_the_request() {
    let mut params = CertificateParams::new(vec!["n".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "u");
    params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "x");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap().into_bytes();
    let request = request((rules::CLIENT, &["client auth"]), "u", pem, decided("Approved"));
    let Some(Action::Sign(leaf)) = signer::plan(&request, at(1_000_000_000), at(0)) else {
        panic!("not signed")
    };
    assert_eq!(leaf.subject.len(), 1);
    assert_eq!(leaf.names, [AlternativeName::Dns("n".to_owned())]);
    assert_eq!(leaf.usages, ["client auth"]);
}

#[test]
fn certificates_last_as_asked_within_bounds_and_begin_a_little_before() {
    let (now, never) = (at(10_000_000), at(9_000_000_000));
    let lasts = |seconds, ends| {
        let (from, until) = lifetime(seconds, ends, now);
        assert_eq!(now.as_second() - from.as_second(), 300);
        until.as_second() - now.as_second()
    };
    assert_eq!(lasts(Some(3600), never), 3600);
    assert_eq!(lasts(Some(60), never), 600);
    assert_eq!(lasts(Some(8 * 3600), never), 8 * 3600 - 300);
    assert_eq!(lasts(None, never), 365 * 86_400 - 300);
    assert_eq!(lasts(Some(i32::MAX), never), 365 * 86_400 - 300);
    assert_eq!(lasts(None, at(10_000_099)), 99);
}

#[test]
fn requests_go_when_nobody_waits_for_them() {
    let due = |status: Value| cleaner::plan(&request(NODE_CLIENT, "u", node_pem(), status));
    let decision = at(600) + HOUR;
    assert_eq!(due(json!({})), Some(at(86_400)));
    assert_eq!(due(decided("Denied")), Some(decision));
    assert_eq!(due(decided("Failed")), Some(decision));
    assert_eq!(due(decided("Approved")), None, "somebody may still sign it");
    let mut issued = decided("Approved");
    issued["certificate"] = json!("eA==");
    assert_eq!(due(issued.clone()), Some(decision));
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(700);
    let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let mut request = request(NODE_CLIENT, "u", node_pem(), issued);
    request.status.as_mut().unwrap().certificate = Some(ByteString(pem.into_bytes()));
    assert_eq!(cleaner::plan(&request), Some(at(700)));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_request_or_none(bytes: Vec<u8>, der: Vec<u8>) {
        let _ = Request::parse(&bytes);
        let pem = x509_parser::pem::Pem { label: "CERTIFICATE REQUEST".to_owned(), contents: der };
        let text = format!("-----BEGIN {0}-----\n{1}\n-----END {0}-----\n", pem.label, base64(&pem.contents));
        proptest::prop_assert_eq!(Request::parse(text.as_bytes()), None);
    }
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(ByteString(bytes.to_vec())).unwrap().as_str().unwrap().to_owned()
}
