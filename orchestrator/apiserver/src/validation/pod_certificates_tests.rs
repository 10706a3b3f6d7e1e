//! What is asked for, and what is handed out.

use ::p521::ecdsa::signature::hazmat::PrehashSigner as _;
use ::p521::ecdsa::{DerSignature as DerSignature521, SigningKey as SigningKey521};
use ::p521::elliptic_curve::Generate as _;
use ::p521::pkcs8::EncodePublicKey as _;
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SanType, SigningKey};
use rstest::rstest;

use super::*;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

fn stub(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    STANDARD.encode(params.serialize_request(key).unwrap().der())
}

fn request(key: &str, changes: &[(&str, Value)]) -> Value {
    let json = format!(
        r#"{{"metadata":{{"name":"r"}},"spec":{{"signerName":"example.com/s","podName":"web","podUID":"p",
        "serviceAccountName":"default","serviceAccountUID":"s","nodeName":"n","nodeUID":"u",
        "maxExpirationSeconds":7200,"stubPKCS10Request":"{key}"}},"status":{{}}}}"#
    );
    let mut value = Value::from_json(json.as_bytes()).unwrap();
    for (path, new) in changes {
        value.put(path, new.clone());
    }
    value
}

fn told(errors: &Errors) -> Vec<String> {
    errors.causes().iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn problems(object: &Value) -> Vec<String> {
    let mut errors = Errors::default();
    check(object, &mut errors);
    told(&errors)
}

/// Whether the only problem says this; an empty text means that there is none.
fn assert_told(told: &[String], expected: &str) {
    assert_eq!(told.is_empty(), expected.is_empty(), "{told:?}");
    assert!(told.iter().all(|text| text.contains(expected)), "{told:?}");
}

#[rstest]
#[case::good("spec.podName", "web".into(), "")]
#[case("spec.podName", "WEB".into(), "spec.podName")]
#[case("spec.nodeUID", "".into(), "spec.nodeUID: Invalid value: \"\": must not be empty")]
#[case("spec.podUID", "x".repeat(129).as_str().into(), "spec.podUID: Too long")]
#[case("spec.signerName", "short".into(), "spec.signerName: Invalid value")]
#[case("spec.maxExpirationSeconds", 3599.into(), "must be in the range [3600, 7862400]")]
#[case("spec.maxExpirationSeconds", 7_862_401.into(), "must be in the range [3600, 7862400]")]
#[case("spec.maxExpirationSeconds", Value::Null, "spec.maxExpirationSeconds: Required value")]
#[case("spec.stubPKCS10Request", "".into(), "exactly one of (stubPKCS10Request)")]
#[case("spec.stubPKCS10Request", "AAAA".into(), "must be a valid PKCS#10 CSR")]
#[case("spec.proofOfPossession", "AAAA".into(), "exactly one of (stubPKCS10Request)")]
fn a_request_says_for_whom_it_is(#[case] path: &str, #[case] value: Value, #[case] expected: &str) {
    let key = KeyPair::generate().unwrap();
    assert_told(&problems(&request(&stub(&key), &[(path, value)])), expected);
}

#[test]
fn kubernetes_own_signers_sign_for_a_day_at_most() {
    let key = stub(&KeyPair::generate().unwrap());
    let changes =
        [("spec.signerName", "kubernetes.io/s".into()), ("spec.maxExpirationSeconds", 86_401.into())];
    assert_told(&problems(&request(&key, &changes)), "must be in the range [3600, 86400]");
}

#[test]
fn what_a_pod_tells_a_signer_has_a_domain() {
    let key = stub(&KeyPair::generate().unwrap());
    let mut object = request(&key, &[]);
    object.set(&["spec", "unverifiedUserAnnotations", "acme.io/a"], Value::from("x"));
    assert_told(&problems(&object), "");
    object.set(&["spec", "unverifiedUserAnnotations", "bare"], Value::from("x"));
    assert_told(&problems(&object), "must be a domain-prefixed key");
}

#[rstest]
#[case(&rcgen::PKCS_ED25519)]
#[case(&rcgen::PKCS_ECDSA_P256_SHA256)]
#[case(&rcgen::PKCS_ECDSA_P384_SHA384)]
fn whoever_asks_has_the_key(#[case] algorithm: &'static rcgen::SignatureAlgorithm) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let good = STANDARD.decode(stub(&key)).unwrap();
    assert_told(&problems(&request(&STANDARD.encode(&good), &[])), "");
    let mut forged = good;
    *forged.last_mut().unwrap() ^= 1;
    assert_told(&problems(&request(&STANDARD.encode(&forged), &[])), "spec.stubPKCS10Request: Invalid value");
}

/// The older form: a key, and a signature of the Pod's UID.
#[test]
fn a_signature_of_the_uid_shows_that_the_key_is_there() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let with = |uid: &str| {
        let proof = STANDARD.encode(key.sign(uid.as_bytes()).unwrap());
        let public = STANDARD.encode(key.subject_public_key_info());
        request(
            "",
            &[
                ("spec.pkixPublicKey", public.as_str().into()),
                ("spec.proofOfPossession", proof.as_str().into()),
            ],
        )
    };
    assert_told(&problems(&with("p")), "");
    assert_told(&problems(&with("q")), "spec.proofOfPossession: Invalid value: could not verify");
}

/// ring knows nothing of the curve.
#[rstest]
#[case::as_nodes_make_it("1.2.840.10045.4.3.4", Some(&digest::SHA512))]
#[case("1.2.840.10045.4.3.3", Some(&digest::SHA384))]
#[case("1.2.840.10045.4.3.2", Some(&digest::SHA256))]
#[case::by_sha1("1.2.840.10045.4.1", None)]
fn signatures_of_p521_are_read(#[case] oid: &str, #[case] expected: Option<&'static digest::Algorithm>) {
    let key = SigningKey521::generate();
    let point = key.verifying_key().to_sec1_point(false);
    assert_eq!(p521::algorithm(oid), expected);
    let Some(algorithm) = expected else { return };
    let mut number = [0; 64];
    let hash = digest::digest(algorithm, b"said");
    number[64 - hash.as_ref().len()..].copy_from_slice(hash.as_ref());
    let signed: DerSignature521 = key.sign_prehash(&number).unwrap();
    let is_signed = |said: &[u8], signed: &[u8]| p521::is_signed(point.as_bytes(), algorithm, said, signed);
    assert!(is_signed(b"said", signed.as_bytes()));
    assert!(!is_signed(b"other", signed.as_bytes()) && !is_signed(b"said", &signed.as_bytes()[1..]));
}

/// As Go signs, and as `openssl dgst -sha256 -sign` does.
#[test]
fn a_signature_of_the_uid_by_p521_shows_that_the_key_is_there() {
    let key = SigningKey521::generate();
    let mut number = [0; 64];
    number[32..].copy_from_slice(digest::digest(&digest::SHA256, b"p").as_ref());
    let signed: DerSignature521 = key.sign_prehash(&number).unwrap();
    let public = STANDARD.encode(key.verifying_key().to_public_key_der().unwrap().as_bytes());
    let with = |uid: &str, proof: &[u8]| {
        let proof = STANDARD.encode(proof);
        let fields = [
            ("spec.pkixPublicKey", public.as_str()),
            ("spec.proofOfPossession", &proof),
            ("spec.podUID", uid),
        ];
        request("", &fields.map(|(field, value)| (field, value.into())))
    };
    assert_told(&problems(&with("p", signed.as_bytes())), "");
    assert_told(
        &problems(&with("q", signed.as_bytes())),
        "spec.proofOfPossession: Invalid value: could not verify",
    );
    assert_told(
        &problems(&with("p", b"no signature")),
        "spec.proofOfPossession: Invalid value: could not verify",
    );
}

/// A request to which a certificate from `begin` to `end` with these names was handed out.
fn issued(
    asked: &KeyPair,
    signed: &KeyPair,
    (begin, end, refresh): (i64, i64, i64),
    names: Vec<SanType>,
) -> Value {
    let mut params = CertificateParams::default();
    let time = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds.unsigned_abs())
    };
    (params.not_before, params.not_after) = (time(begin), time(end));
    params.subject_alt_names = names;
    let chain = params.self_signed(signed).unwrap().pem();
    let mut object = request(&stub(asked), &[]);
    object.put("status.certificateChain", chain.as_str());
    object.put("status.notBefore", at(begin).as_str());
    object.put("status.notAfter", at(end).as_str());
    object.put("status.beginRefreshAt", at(refresh).as_str());
    put_condition(&mut object, "Issued");
    object
}

fn put_condition(object: &mut Value, kind: &str) {
    let json = format!(
        r#"[{{"type":"{kind}","status":"True","reason":"R","message":"m","lastTransitionTime":"{}"}}]"#,
        at(NOW)
    );
    object.put("status.conditions", Value::from_json(json.as_bytes()).unwrap());
}

fn status_problems(object: &Value, old: &Value) -> Vec<String> {
    let mut errors = Errors::default();
    check_status(object, old, &mut errors);
    told(&errors)
}

#[rstest]
#[case::good((NOW, NOW + 7200, NOW + 3600), "")]
#[case::short((NOW, NOW + 3599, NOW + 1800), "lifetime must be >= 1 hour")]
#[case::long((NOW, NOW + 7201, NOW + 1800), "lifetime must be <= spec.maxExpirationSeconds")]
#[case::early((NOW, NOW + 7200, NOW + 599), "at least 10 minutes after status.notBefore")]
#[case::late((NOW, NOW + 7200, NOW + 6601), "at least 10 minutes before status.notAfter")]
fn what_is_handed_out_keeps_its_times(#[case] times: (i64, i64, i64), #[case] expected: &str) {
    let key = KeyPair::generate().unwrap();
    let old = request(&stub(&key), &[]);
    assert_told(&status_problems(&issued(&key, &key, times, Vec::new()), &old), expected);
}

#[test]
fn a_certificate_is_for_the_key_that_was_asked_with() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let times = (NOW, NOW + 7200, NOW + 3600);
    let old = request(&stub(&key), &[]);
    let object = issued(&key, &other, times, Vec::new());
    assert_told(&status_problems(&object, &old), "was not issued to the requested public key");
    let dotted = vec![SanType::DnsName(Ia5String::try_from("a..b").unwrap())];
    let object = issued(&key, &key, times, dotted);
    assert_told(&status_problems(&object, &old), "should not contain '..'");
    let mut wrong = issued(&key, &key, times, Vec::new());
    wrong.put("status.notBefore", at(NOW - 1).as_str());
    assert_told(&status_problems(&wrong, &old), "status.notBefore: Invalid value");
    wrong.take("status.notBefore");
    assert_told(&status_problems(&wrong, &old), "must be present");
    wrong.put("status.certificateChain", "");
    assert_told(&status_problems(&wrong, &old), "must contain at least one certificate");
}

#[test]
fn an_outcome_is_the_last_word() {
    let key = KeyPair::generate().unwrap();
    let old = request(&stub(&key), &[]);
    let mut denied = old.clone();
    put_condition(&mut denied, "Denied");
    assert_told(&status_problems(&denied, &old), "");
    let mut failed = old.clone();
    put_condition(&mut failed, "Failed");
    assert_told(&status_problems(&failed, &denied), "immutable after PodCertificateRequest is issued");
    assert_told(&status_problems(&denied, &denied), "");
    denied.put("status.certificateChain", "x");
    assert_told(&status_problems(&denied, &old), "non-condition status fields must be empty");
    let mut pending = old.clone();
    pending.put("status.notAfter", at(NOW).as_str());
    assert_told(&status_problems(&pending, &old), "status is immutable unless transitioning");
    put_condition(&mut failed, "Ready");
    assert_told(&status_problems(&failed, &old), "Unsupported value: \"Ready\"");
}

#[test]
fn a_certificate_begins_about_now() {
    let key = KeyPair::generate().unwrap();
    let old = request(&stub(&key), &[]);
    let object = issued(&key, &key, (NOW, NOW + 7200, NOW + 3600), Vec::new());
    let now = |seconds| Timestamp::from_second(seconds).unwrap();
    assert_told(&told(&check_begin(&object, &old, now(NOW + 299))), "");
    assert_told(&told(&check_begin(&object, &old, now(NOW + 300))), "within 5 minutes");
    assert_told(&told(&check_begin(&object, &old, now(NOW - 300))), "within 5 minutes");
    assert_told(&told(&check_begin(&object, &object, now(0))), "");
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in r"\PC{0,40}") {
        let text_of = STANDARD.encode(&bytes);
        problems(&request(&text_of, &[]));
        let changes =
            [("spec.pkixPublicKey", text_of.as_str().into()), ("spec.proofOfPossession", "AAAA".into())];
        problems(&request("", &changes));
        let mut object = request(&text_of, &[("status.certificateChain", text.as_str().into())]);
        put_condition(&mut object, "Issued");
        status_problems(&object, &request(&text_of, &[]));
    }
}
