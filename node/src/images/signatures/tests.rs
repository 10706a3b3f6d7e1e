//! What policies say, with keys and signatures that openssl made, as cosign makes them.

use std::path::Path;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::reference::ImageReference;
use super::key::{KeyError, PublicKey};
use super::*;

const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfgKCqUha4L9uOtvgbdCQAm9wc+MC
t6us3ONYX7G4QvfBDGQCZwuSk9pcA1Ers/CiR0JphvGJGrRQKDAX0sYsYw==
-----END PUBLIC KEY-----
";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAoFiQPXgrnwiOMzalKA8t/71BTXg7uUlhMd1SPRQJMYw=
-----END PUBLIC KEY-----
";
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEAs0rBFWcFLnR2oxjR1xHQVOa3QZqBTI5
MgMd4EdwKc7TKdPyZ02Z1DYOWGTYPEkPgd09YcfC8jWLoVM6P8euXrJvoxiJOd7J
qe7ClNFpdLojCi7iJXaQgXBVh0S5o6rY
-----END PUBLIC KEY-----
";
const BY_P256: &str =
    "MEYCIQDBgTjp34guWZl6JLvEjwWiWO3epkzgkxSUPl22/EsBfgIhAOZ3YXSLeVnGPsY10xqbPFIb7IO6UVUTMO84H/4nQVlW";
const BY_ED25519: &str =
    "mGs8HXp8ka5rdIy+QfIxKh3CiE5TP4BQkiFgC4gXNhW1JCOl4LlprwWkI1PBiiXIPpjxguP+7scBolmVjrMaDQ==";
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"registry.example/app"},"image":{"docker-manifest-digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"type":"cosign container image signature"},"optional":null}"#;
const DIGEST: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn evidence(signatures: &[&str]) -> Evidence {
    let signature =
        |signature: &&str| Signature { payload: PAYLOAD.to_owned(), signature: (*signature).to_owned() };
    Evidence { manifest: None, signatures: signatures.iter().map(signature).collect() }
}

fn policy(value: &Value) -> Result<SignaturePolicy, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p256.pub"), P256).unwrap();
    std::fs::write(dir.path().join("ed25519.pub"), ED25519).unwrap();
    let path = dir.path().join("policy.json");
    let text = value.to_string().replace("KEYS", &dir.path().display().to_string());
    std::fs::write(&path, text).unwrap();
    SignaturePolicy::read(&path).map_err(|error| crate::context::chain(&error))
}

fn signed_by(key: &str) -> Value {
    json!({ "type": "sigstoreSigned", "keyPath": format!("KEYS/{key}.pub"), "signedIdentity": { "type": "matchRepository" } })
}

fn check(policy: &SignaturePolicy, image: &str, evidence: &Evidence) -> Result<(), String> {
    let reference = ImageReference::parse(image).unwrap();
    policy.check(&reference, &["sha256:top", DIGEST], evidence).map_err(|rejected| rejected.to_string())
}

#[rstest]
#[case("p256", BY_P256)]
#[case("ed25519", BY_ED25519)]
fn an_image_runs_that_somebody_signed_who_may(#[case] key: &str, #[case] signature: &str) {
    let policy = policy(&json!({ "default": [signed_by(key)] })).unwrap();
    assert_eq!(check(&policy, "registry.example/app:v1", &evidence(&[signature])), Ok(()));
    let others: Vec<&str> = [BY_P256, BY_ED25519].into_iter().filter(|other| *other != signature).collect();
    let refused = check(&policy, "registry.example/app:v1", &evidence(&others)).unwrap_err();
    assert!(refused.ends_with("images of default: a signature was made with another key"), "{refused}");
    assert_eq!(check(&policy, "registry.example/app:v1", &evidence(&[BY_P256, BY_ED25519])), Ok(()));
    let refused = check(&policy, "registry.example/app:v1", &evidence(&[])).unwrap_err();
    assert_eq!(refused, "the policy wants images of default signed, and there is no signature of sha256:top");
    let refused = check(&policy, "registry.example/other:v1", &evidence(&[signature])).unwrap_err();
    assert!(refused.ends_with("a signature is of an image called \"registry.example/app\""), "{refused}");
}

#[test]
fn a_signature_of_another_manifest_is_none_and_neither_is_a_changed_one() {
    let policy = policy(&json!({ "default": [signed_by("p256")] })).unwrap();
    let wanted = ImageReference::parse("registry.example/app:v1").unwrap();
    let refused = policy.check(&wanted, &["sha256:other"], &evidence(&[BY_P256])).unwrap_err().to_string();
    assert!(refused.ends_with(&format!("a signature is of {DIGEST}")), "{refused}");
    let mut changed = evidence(&[BY_P256]);
    let other = DIGEST.replace("sha256:b", "sha256:c");
    changed.signatures[0].payload = PAYLOAD.replace(DIGEST, &other);
    assert!(policy.check(&wanted, &[&other], &changed).is_err());
    let mut broken = evidence(&[BY_P256]);
    broken.signatures[0].signature = "not base64".to_owned();
    assert!(policy.check(&wanted, &[DIGEST], &broken).is_err());
}

#[test]
fn the_narrowest_scope_counts() {
    let accept = json!([{ "type": "insecureAcceptAnything" }]);
    let policy = policy(&json!({
        "default": [{ "type": "reject" }],
        "transports": {
            "docker": {
                "registry.example/team": accept,
                "registry.example/team/secret": [{ "type": "reject" }],
                "registry.example/team/secret:v1": accept,
                "*.mirror.example": accept,
                "docker.io/library": accept,
            },
            "docker-daemon": { "": accept },
        },
    }))
    .unwrap();
    for (image, runs) in [
        ("registry.example/team/app:v1", true),
        ("registry.example/teams:v1", false),
        ("registry.example/team/secret:v1", true),
        ("registry.example/team/secret:v2", false),
        ("eu.mirror.example:5000/app", true),
        ("mirror.example/app", false),
        ("busybox", true),
        ("somebody/busybox", false),
    ] {
        assert_eq!(check(&policy, image, &evidence(&[])).is_ok(), runs, "{image}");
    }
    let refused = check(&policy, "elsewhere.example/app", &evidence(&[])).unwrap_err();
    assert_eq!(refused, "the policy rejects images of default");
}

#[test]
fn all_requirements_have_to_be_met_and_without_a_policy_there_are_none() {
    let both = policy(&json!({ "default": [signed_by("p256"), signed_by("ed25519")] })).unwrap();
    assert!(check(&both, "registry.example/app:v1", &evidence(&[BY_P256])).is_err());
    assert_eq!(check(&both, "registry.example/app:v1", &evidence(&[BY_P256, BY_ED25519])), Ok(()));
    assert_eq!(check(&SignaturePolicy::default(), "any/image", &evidence(&[])), Ok(()));
}

#[rstest]
#[case::nothing_said(json!({}), "missing field `default`")]
#[case::nothing_required(json!({ "default": [] }), "default: there is no requirement")]
#[case::unknown_fields(json!({ "default": [{ "type": "reject", "why": "x" }] }), "unknown field `why`")]
#[case::gpg(json!({ "default": [{ "type": "signedBy" }] }), "sign with cosign")]
#[case::another_type(json!({ "default": [{ "type": "trust" }] }), "\"trust\" is not supported")]
#[case::no_key(json!({ "default": [{ "type": "sigstoreSigned" }] }), "exactly one of keyPath")]
#[case::no_keys(json!({ "default": [{ "type": "sigstoreSigned", "keyPaths": [] }] }), "exactly one of keyPath")]
#[case::no_such_key(json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "/none.pub" }] }), "cannot read /none.pub")]
#[case::no_pem(json!({ "default": [{ "type": "sigstoreSigned", "keyData": "eA==" }] }), "its keyData cannot be used: it is no public key in PEM")]
#[case::transparency(
    json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "KEYS/p256.pub", "rekorPublicKeyData": "eA==" }] }),
    "a transparency log"
)]
fn a_policy_that_is_not_understood_is_refused(#[case] value: Value, #[case] reason: &str) {
    let error = policy(&value).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn keys_of_other_kinds_are_refused() {
    assert!(PublicKey::parse(P256.as_bytes()).is_ok() && PublicKey::parse(ED25519.as_bytes()).is_ok());
    assert_eq!(PublicKey::parse(P384.as_bytes()).unwrap_err(), KeyError::Kind);
    let private = P256.replace("PUBLIC", "PRIVATE");
    assert_eq!(PublicKey::parse(private.as_bytes()).unwrap_err(), KeyError::Form);
    assert!(matches!(SignaturePolicy::read(Path::new("/none")), Err(SignaturePolicyError::Read { .. })));
}

proptest! {
    #[test]
    fn whatever_a_file_holds_is_a_key_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..150, with: u8) {
        let _ = PublicKey::parse(&bytes);
        let mut near = P256.as_bytes().to_vec();
        let at = at % near.len();
        near[at] = with;
        if let Ok(key) = PublicKey::parse(&near) {
            prop_assert!(!key.verifies(b"something else", b"no signature"));
        }
    }

    #[test]
    fn no_changed_signature_is_good(at in 0_usize..96, with in "[A-Za-z0-9+/=]") {
        let policy = policy(&json!({ "default": [signed_by("p256")] })).unwrap();
        let mut changed = BY_P256.to_owned();
        changed.replace_range(at..=at, &with);
        let accepted = check(&policy, "registry.example/app:v1", &evidence(&[&changed])).is_ok();
        prop_assert_eq!(accepted, changed == BY_P256);
    }
}
