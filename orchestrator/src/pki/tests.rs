//! Tests of what is on disk after each start, renewal and rotation.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;
use wherry_controllers::{AlternativeName, Authority as _, Leaf};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};

use super::rotation;
use super::sign::RequestSigner;
use super::*;
use crate::certificates::Certificates;

fn subjects() -> Subjects {
    Subjects {
        server_addresses: vec!["127.0.0.1".parse().unwrap(), "10.96.0.1".parse().unwrap()],
        server_names: Vec::new(),
        node_name: "n1".into(),
        node_addresses: vec!["127.0.0.1".parse().unwrap()],
    }
}

fn day(n: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n * 86_400).unwrap()
}

#[test]
fn a_second_start_keeps_every_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let second = Pki::open(dir.path(), &subjects(), day(1)).unwrap();
    assert_eq!(first.ca, second.ca);
    assert_eq!(first.server.cert, second.server.cert);
    assert_eq!(first.admin.key, second.admin.key);
    assert_eq!(first.service_account_key, second.service_account_key);
}

#[test]
fn leaves_are_renewed_before_they_end_and_the_ca_stays() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let later = Pki::open(dir.path(), &subjects(), day(340)).unwrap();
    assert_eq!(first.ca, later.ca);
    assert_ne!(first.server.cert, later.server.cert);
    assert_ne!(first.admin.cert, later.admin.cert);
}

#[test]
fn a_new_address_gets_a_new_server_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let mut moved = subjects();
    moved.server_addresses.push("192.0.2.7".parse().unwrap());
    let second = Pki::open(dir.path(), &moved, day(0)).unwrap();
    assert_ne!(first.server.cert, second.server.cert);
    assert_eq!(first.admin.cert, second.admin.cert);
}

#[test]
fn private_keys_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn a_broken_ca_is_reported_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    fs::write(dir.path().join("ca.key"), "garbage").unwrap();
    let error = Pki::open(dir.path(), &subjects(), day(0)).err().unwrap();
    assert!(error.to_string().contains("ca.key is not a usable certificate or key"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("ca.key")).unwrap(), "garbage");
}

#[test]
fn what_a_clock_that_was_ahead_made_is_made_anew_with_the_same_ca_key() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Pki::open(dir.path(), &subjects(), day(9000)).unwrap();
    let key = fs::read_to_string(dir.path().join("ca.key")).unwrap();
    let right = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("ca.key")).unwrap(), key);
    assert_ne!(ahead.ca, right.ca);
    assert!(right.valid_from <= day(0) && !right.is_due(day(0)));
    assert!(serves(&right, &ahead.ca, day(0)), "whoever knows the certificate before believes the server");
}

#[test]
fn the_certificate_of_the_ca_is_renewed_before_it_ends_and_its_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let later = Pki::open(dir.path(), &subjects(), day(3500)).unwrap();
    assert_ne!(first.ca, later.ca);
    assert!(serves(&later, &first.ca, day(3500)) && serves(&later, &later.ca, day(3500)));
}

#[test]
fn after_a_rotation_of_the_ca_old_and_new_believe_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    rotate_authority(dir.path(), day(1)).unwrap();
    let second = Pki::open(dir.path(), &subjects(), day(1)).unwrap();
    assert_ne!(first.admin.cert, second.admin.cert);
    assert!(second.ca.ends_with(&first.ca), "the old authority is believed");
    assert!(serves(&second, &first.ca, day(1)) && serves(&second, &second.ca, day(1)));
    rotate_authority(dir.path(), day(2)).unwrap();
    let third = Pki::open(dir.path(), &subjects(), day(2)).unwrap();
    assert!(serves(&third, &second.ca, day(2)));
    assert!(!third.ca.contains(&first.ca) && !serves(&third, &first.ca, day(2)));
}

#[test]
fn a_rotation_of_the_ca_that_is_cut_short_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let key = fs::read_to_string(dir.path().join("ca.key")).unwrap();
    rotate_authority(dir.path(), day(1)).unwrap();
    fs::write(dir.path().join("ca.key"), key).unwrap();
    let second = Pki::open(dir.path(), &subjects(), day(1)).unwrap();
    assert!(first.server == second.server);
    assert!(second.ca.contains(&first.ca));
}

#[test]
fn rotated_leaves_are_new_and_every_certificate_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    rotate_leaves(dir.path()).unwrap();
    rotate_leaves(dir.path()).unwrap();
    let second = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    assert_eq!(first.ca, second.ca);
    assert_ne!(first.front_proxy.cert, second.front_proxy.cert);
    let listed = list(dir.path()).unwrap();
    let files: Vec<_> = listed.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(
        files,
        ["admin.crt", "ca.crt", "front-proxy-client.crt", "node-client.crt", "node-server.crt", "server.crt"]
    );
    assert!(listed.iter().all(|one| one.not_before < day(0) && one.not_after > day(300)), "{listed:?}");
}

/// Whether a client that knows these authorities believes the server.
fn serves(pki: &Pki, ca: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pki.server.cert.as_bytes()).map(Result::unwrap).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    match verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now) {
        Ok(_) => true,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => false,
        Err(other) => panic!("{other}"),
    }
}

/// A clock that a test sets.
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// Certificates that are kept fresh from day 0 on.
struct Kept {
    dir: tempfile::TempDir,
    clock: Arc<SetClock>,
    certificates: Arc<Certificates>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Kept {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock(Mutex::new(day(0))));
        let pki = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        let (certificates, stop) = (Arc::new(Certificates::new(pki)), CancellationToken::new());
        let tasks = TaskTracker::new();
        tasks.spawn(rotation::run(certificates.clone(), clock.clone(), stop.clone()));
        Self { dir, clock, certificates, tasks, stop }
    }

    /// Sets the clock; the certificates as they are two minutes later.
    async fn at(&self, now: Timestamp) -> Pki {
        *self.clock.0.lock() = now;
        tokio::time::sleep(Duration::from_mins(2)).await;
        self.certificates.current().borrow().clone()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_are_good_through_years_and_whatever_the_clock_says() {
    let kept = Kept::start();
    let mut renewals = 0;
    let mut before = kept.at(day(0)).await;
    for now in (0..400).step_by(5).chain([-730, -729, 0, 5, 3000, 1, 2]) {
        let pki = kept.at(day(now)).await;
        assert!(!pki.is_due(day(now)), "{now}");
        assert!(serves(&pki, &before.ca, day(now)), "a client of before, on day {now}");
        renewals += u32::from(pki.server != before.server);
        before = pki;
    }
    // One in the first year, one when the clock went back, came back, went far ahead, and came back again.
    assert!((4..=6).contains(&renewals), "{renewals}");
    kept.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_out_of_the_directory_is_made_anew_and_told_to_whom_it_concerns() {
    let kept = Kept::start();
    let before = kept.at(day(0)).await;
    let (mut ca, mut serving) = (kept.certificates.ca(), kept.certificates.current());
    ca.mark_unchanged();
    serving.mark_unchanged();
    rotate_leaves(kept.dir.path()).unwrap();
    let after = kept.at(day(0)).await;
    assert_ne!(before.admin.cert, after.admin.cert);
    assert!(serving.has_changed().unwrap() && !ca.has_changed().unwrap());
    rotate_authority(kept.dir.path(), day(0)).unwrap();
    kept.at(day(0)).await;
    assert!(ca.has_changed().unwrap());
    kept.end().await;
}

fn leaf() -> Leaf {
    let key = KeyPair::generate().unwrap();
    Leaf {
        subject: vec![
            (OID_X509_ORGANIZATION_NAME, "a".into()),
            (OID_X509_ORGANIZATION_NAME, "b".into()),
            (OID_X509_COMMON_NAME, "häns".into()),
        ],
        public_key: rcgen::PublicKeyData::subject_public_key_info(&key),
        names: vec![
            AlternativeName::Dns("n.example".into()),
            AlternativeName::Ip("10.0.0.1".parse().unwrap()),
            AlternativeName::Ip("fd00::1".parse().unwrap()),
            AlternativeName::Email("a@b".into()),
            AlternativeName::Uri("spiffe://a/b".into()),
        ],
        usages: ["digital signature", "key encipherment", "client auth", "server auth", "s/mime"]
            .map(str::to_owned)
            .to_vec(),
        not_before: day(0),
        not_after: day(1),
    }
}

#[test]
fn a_certificate_says_what_was_asked_for_and_is_signed_by_the_ca() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let certificates = Certificates::new(pki.clone());
    let signer = RequestSigner::new(certificates.current());
    let leaf = leaf();
    let text = signer.sign(&leaf).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    assert!(pki.authority.signed(&certificate));
    assert_eq!(certificate.subject().to_string(), "O=a, O=b, CN=häns");
    assert_eq!(certificate.issuer().to_string(), "CN=wherry-ca");
    assert_eq!(certificate.public_key().raw, leaf.public_key);
    assert_eq!(validity(&block.contents), Some(Validity { not_before: day(0), not_after: day(1) }));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && usage.value.key_encipherment());
    assert!(!usage.value.key_cert_sign());
    let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && purposes.server_auth && purposes.email_protection && !purposes.any);
    assert!(!certificate.is_ca() && certificate.basic_constraints().unwrap().unwrap().critical);
    let names = certificate.subject_alternative_name().unwrap().unwrap().value;
    let names: Vec<_> = names.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(signer.not_after(), pki.authority.validity.not_after);
}

#[test]
fn what_cannot_be_certified_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
    let signer = RequestSigner::new(Certificates::new(pki).current());
    let told = |leaf: &Leaf| {
        let error = signer.sign(leaf).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let ended = Leaf { not_after: day(0), ..leaf() };
    assert_eq!(told(&ended), "the authority is not valid at the time");
    let unknown = Leaf { usages: vec!["flying".into()], ..leaf() };
    assert_eq!(told(&unknown), "unrecognized usage value \"flying\"");
}
