//! Tests of what a node takes for its certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::identity::Identity;
use super::request::Wanted;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A certificate that is valid from second 0 to second 1000.
fn identity(wanted: &Wanted) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(wanted.names.clone()).unwrap();
    params.subject_alt_names.extend(wanted.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name.push(DnType::CommonName, wanted.common_name.as_str());
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(1000);
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

#[test]
fn a_certificate_serves_until_it_is_due_and_for_the_names_in_it() {
    let wanted = Wanted::serving("n1", [10, 0, 0, 1].into());
    let found = identity(&wanted);
    assert!(found.serves(&wanted, at(0)) && found.serves(&wanted, at(699)));
    assert!(!found.serves(&wanted, at(900)) && found.holds(at(900)) && !found.holds(at(1000)));
    assert!(!found.serves(&wanted, at(-1)) && !found.holds(at(-1)), "the clock was ahead");
    assert!(!found.serves(&Wanted::serving("n1", [10, 0, 0, 2].into()), at(0)));
    assert!(!found.serves(&Wanted::serving("n2", [10, 0, 0, 1].into()), at(0)));
    assert!(found.serves(&Wanted::client("n1"), at(0)));
}

#[test]
fn a_certificate_is_found_again_with_its_key_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("current.pem");
    assert!(Identity::load(&path).is_none());
    let saved = identity(&Wanted::client("n1"));
    saved.save(&path).unwrap();
    saved.save(&path).unwrap();
    assert!(Identity::load(&path) == Some(saved));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, "half a cert").unwrap();
    assert!(Identity::load(&path).is_none());
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_certificate_or_none(text in "\\PC{0,200}") {
        let marked = format!("{text}-----BEGIN PRIVATE KEY-----{text}");
        for text in [&text, &marked] {
            proptest::prop_assert!(Identity::parse(text).is_none());
            let held = Identity { cert: text.clone(), key: text.clone() };
            proptest::prop_assert!(!held.holds(at(0)));
        }
    }
}
