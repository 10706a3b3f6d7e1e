//! Configurations, and what is sealed by them.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "/registry/secrets/default/s";
const CUSTOM: &str = "/registry/example.com/things/default/t";
const OWN: [u8; 32] = [1; 32];
/// 32 times the byte 2, and 16 times the byte 3, in base64.
const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const THREE: &str = "AwMDAwMDAwMDAwMDAwMDAw==";

fn parse(resources: &str) -> Result<EncryptionConfig, EncryptionConfigError> {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: {resources}\n"
    );
    EncryptionConfig::parse(text.as_bytes())
}

fn refusal(resources: &str) -> String {
    parse(resources).unwrap_err().to_string()
}

fn own() -> Encryption {
    Encryption::new([("key1", OWN.as_slice())]).unwrap()
}

fn with(resources: &str) -> Encryption {
    let encryption = own();
    encryption.configure(parse(resources).unwrap());
    encryption
}

fn key(provider: &str, name: &str, secret: &str) -> String {
    format!("{{{provider}: {{keys: [{{name: {name}, secret: \"{secret}\"}}]}}}}")
}

fn rule(resources: &str, providers: &[String]) -> String {
    format!("{{resources: [{resources}], providers: [{}]}}", providers.join(", "))
}

fn sealed(encryption: &Encryption, key: &str) -> Option<Vec<u8>> {
    encryption.seal(key, b"hunter2").unwrap()
}

fn is_marked(encryption: &Encryption, key: &str, mark: &str) -> bool {
    sealed(encryption, key).is_some_and(|sealed| sealed.starts_with(mark.as_bytes()))
}

#[test]
fn without_a_configuration_secrets_are_sealed_and_nothing_else() {
    let encryption = own();
    let one = sealed(&encryption, SECRET).unwrap();
    assert!(one.starts_with(b"k8s:enc:aesgcm:v1:key1:"));
    assert!(!one.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(encryption.open(SECRET, &one).unwrap(), b"hunter2");
    assert_eq!(sealed(&encryption, "/registry/configmaps/default/c"), None);
    assert!(encryption.concerns(SECRET) && !encryption.concerns(CUSTOM));
    encryption.open("/registry/secrets/default/t", &one).unwrap_err();
}

#[test]
fn the_first_provider_writes_and_all_read() {
    for provider in ["aesgcm", "aescbc", "secretbox"] {
        let old = with(&format!("[{}]", rule("secrets", &[key(provider, "a", TWO)])));
        let new =
            with(&format!("[{}]", rule("secrets", &[key("aescbc", "b", THREE), key(provider, "a", TWO)])));
        let before = sealed(&old, SECRET).unwrap();
        assert!(before.starts_with(format!("k8s:enc:{provider}:v1:a:").as_bytes()));
        assert!(is_marked(&new, SECRET, "k8s:enc:aescbc:v1:b:"));
        assert_eq!(new.open(SECRET, &before).unwrap(), b"hunter2");
    }
    // What the cluster's own key sealed opens as well, also as older versions marked it.
    let new = with(&format!("[{}]", rule("secrets", &[key("secretbox", "a", TWO)])));
    let before = sealed(&own(), SECRET).unwrap();
    assert_eq!(new.open(SECRET, &before).unwrap(), b"hunter2");
    let older = before.strip_prefix(b"k8s:enc:aesgcm:v1:").unwrap();
    assert_eq!(new.open(SECRET, older).unwrap(), b"hunter2");
}

#[test]
fn two_keys_of_one_name_are_told_apart_by_trying() {
    let encryption = with(&format!("[{}]", rule("secrets", &[key("aesgcm", "key1", TWO)])));
    let (ours, theirs) = (sealed(&encryption, SECRET).unwrap(), sealed(&own(), SECRET).unwrap());
    assert_eq!(encryption.open(SECRET, &ours).unwrap(), encryption.open(SECRET, &theirs).unwrap());
}

#[test]
fn rules_name_resources_groups_and_everything() {
    let (two, three) = (key("aesgcm", "two", TWO), key("aesgcm", "three", THREE));
    let identity = "{identity: {}}".to_owned();
    let encryption = with(&format!(
        "[{}, {}, {}, {}]",
        rule("things.example.com, configmaps", std::slice::from_ref(&two)),
        rule("leases.coordination.k8s.io", &[identity.clone(), two.clone()]),
        rule("'*.apps'", &[three]),
        rule("'*.'", &[key("secretbox", "core", TWO)]),
    ));
    for (key, mark) in [
        (CUSTOM, "k8s:enc:aesgcm:v1:two:"),
        ("/registry/configmaps/default/c", "k8s:enc:aesgcm:v1:two:"),
        ("/registry/apps/deployments/default/d", "k8s:enc:aesgcm:v1:three:"),
        (SECRET, "k8s:enc:secretbox:v1:core:"),
        ("/registry/pods/default/p", "k8s:enc:secretbox:v1:core:"),
    ] {
        assert!(is_marked(&encryption, key, mark), "{key}");
    }
    for key in ["/registry/example.com/others/default/t", "/registry/coordination.k8s.io/leases/default/l"] {
        assert_eq!(sealed(&encryption, key), None, "{key}");
    }
    let everything = with(&format!("[{}, {}]", rule("secrets", &[identity]), rule("'*.*'", &[two])));
    assert_eq!(sealed(&everything, SECRET), None);
    assert!(is_marked(&everything, "/registry/other.org/things/t", "k8s:enc:aesgcm:v1:two:"));
}

#[test]
fn keys_that_a_changed_configuration_leaves_out_still_open() {
    let encryption = with(&format!("[{}]", rule("secrets", &[key("aesgcm", "a", TWO)])));
    let before = sealed(&encryption, SECRET).unwrap();
    encryption.configure(parse(&format!("[{}]", rule("secrets", &[key("aesgcm", "b", THREE)]))).unwrap());
    assert!(is_marked(&encryption, SECRET, "k8s:enc:aesgcm:v1:b:"));
    assert_eq!(encryption.open(SECRET, &before).unwrap(), b"hunter2");
}

#[test]
fn a_value_that_does_not_open_is_told_by_its_key_alone() {
    let encryption = own();
    let mut damaged = sealed(&encryption, SECRET).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let why = encryption.open(SECRET, &damaged).unwrap_err().to_string();
    assert_eq!(why, "it was not sealed so by the key \"k8s:enc:aesgcm:v1:key1\"");
    let other = with(&format!("[{}]", rule("secrets", &[key("aescbc", "gone", TWO)])));
    let why = encryption.open(SECRET, &sealed(&other, SECRET).unwrap()).unwrap_err().to_string();
    assert!(why.starts_with("no key \"k8s:enc:aescbc:v1:gone\" is known; restore"), "{why}");
    let why = encryption.open(SECRET, b"{\"data\": \"hunter2\"}").unwrap_err().to_string();
    assert!(why.starts_with("no key that sealed it is known") || !why.contains("hunter2"), "{why}");
}

/// Lists of resources, and what is wrong with them.
const RESOURCES: &[(&str, &str)] = &[
    ("", ".resources: Required value: at least one resources[0].resources is required"),
    (
        "secrets, secrets",
        ".resources: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be specified multiple times",
    ),
    (
        "secrets, '*.'",
        ".resources: Invalid value: [\"secrets\",\"*.\"]: using overlapping resources such as 'secrets' and '*.' in the \
         same resource list is not allowed as they will be masked",
    ),
    (
        "Secrets",
        ".resources[0]: Invalid value: \"Secrets\": resource name should not contain capital letters",
    ),
    (
        "'*'",
        ".resources[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to \
         encrypt all resources",
    ),
    (
        "secrets.*",
        ".resources[0]: Invalid value: \"secrets.*\": encrypting the same resource across groups is not supported",
    ),
    (
        "x.extensions",
        ".resources[0]: Invalid value: \"x.extensions\": 'extensions' group has been removed and cannot be used for \
         encryption",
    ),
    (
        "apiserveripinfo",
        ".resources[0]: Invalid value: \"apiserveripinfo\": resources which do not have REST API/s cannot be encrypted",
    ),
];

/// Providers, and what is wrong with them.
const PROVIDERS: &[(&str, &str)] = &[
    (
        "{}",
        ": Invalid value: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
    ),
    (
        "{identity: {}, aesgcm: {keys: []}}",
        ": Invalid value: more than one provider specified in a single element, should split into different list elements",
    ),
    ("{aesgcm: {keys: []}}", ".aesgcm.keys: Required value: at least one keys is required"),
    (
        "{aescbc: {keys: [{name: k}]}}",
        ".aescbc.keys[0].secret: Required value: secret is a mandatory field for a key",
    ),
    (
        "{aescbc: {keys: [{secret: AwMDAwMDAwMDAwMDAwMDAw==}]}}",
        ".aescbc.keys[0].name: Required value: name is a mandatory field for a key",
    ),
    (
        "{aesgcm: {keys: [{name: k, secret: hunter2}]}}",
        ".aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded",
    ),
    (
        "{secretbox: {keys: [{name: k, secret: AwMDAwMDAwMDAwMDAwMDAw==}]}}",
        ".secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, expected \
         one of [32]",
    ),
    (
        "{kms: {name: k, endpoint: 'unix:///x'}}",
        ".kms: Forbidden: plugins that keep keys (KMS) are not built; use aesgcm, aescbc, secretbox or identity",
    ),
];

#[test]
fn a_configuration_that_says_nothing_or_too_much_is_refused_in_upstreams_words() {
    let at = "error while parsing file: resources[0]";
    let good = [key("aesgcm", "k", TWO)];
    for (resources, expected) in RESOURCES {
        assert_eq!(refusal(&format!("[{}]", rule(resources, &good))), format!("{at}{expected}"));
    }
    for (provider, expected) in PROVIDERS {
        let why = refusal(&format!("[{}]", rule("secrets", &[(*provider).to_owned()])));
        assert_eq!(why, format!("{at}.providers[0]{expected}"));
    }
    let none = "error while parsing file: resources: Required value: at least one resources is required";
    assert_eq!(refusal("[]"), none);
    let none = format!("{at}.providers: Required value: at least one resources[0].providers is required");
    assert_eq!(refusal("[{resources: [secrets]}]"), none);
    let masked = refusal(&format!("[{}, {}]", rule("'*.'", &good), rule("secrets", &good)));
    assert_eq!(
        masked,
        "error while building transformers: resource \"secrets\" is masked by earlier rule \"*.\""
    );
    let other = EncryptionConfig::parse(b"{apiVersion: v1, kind: Secret}").unwrap_err().to_string();
    assert!(
        other.contains("write \"apiserver.config.k8s.io/v1\" and \"EncryptionConfiguration\""),
        "{other}"
    );
}

#[test]
fn what_is_wrong_with_a_key_is_told_without_it() {
    for provider in
        ["{aesgcm: {keys: [{name: k, secret: [hunter2]}]}}", "{aesgcm: hunter2}", "{rot13: hunter2}"]
    {
        let why = refusal(&format!("[{}]", rule("secrets", &[provider.to_owned()])));
        assert!(why.contains("resources[0].providers[0]") && !why.contains("hunter2"), "{why}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_refused(text in "\\PC{0,80}", sealed: Vec<u8>, cut in 0..24_usize) {
        let encryption = with(&format!("[{}]", rule("'*.*'", &[key("aescbc", "a", TWO), key("secretbox", "a", TWO)])));
        for mark in ["", "k8s:enc:aesgcm:v1:key1:", "k8s:enc:secretbox:v1:a:", "key1:"] {
            let marked = [&mark.as_bytes()[..mark.len().min(cut)], sealed.as_slice()].concat();
            prop_assert!(encryption.open(SECRET, &marked).is_err());
        }
        drop(encryption.open(SECRET, &[b"k8s:enc:aescbc:v1:a:", sealed.as_slice()].concat()));
        drop(EncryptionConfig::parse(text.as_bytes()));
        drop(EncryptionConfig::parse(&sealed));
    }
}
