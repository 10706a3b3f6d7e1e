//! Tests of what a node takes for its certificate, and of whom it asks for another when.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, Request, Response, StatusCode};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::Client;
use parking_lot::Mutex;
use rcgen::{CertificateParams, CertificateSigningRequestParams, DnType, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::service_fn;
use wherry_api::clock::Clock;

use super::identity::Identity;
use super::keeper::Keeper;
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

/// A clock that a test sets.
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// An API server that signs whatever it is asked for, and tells who asked.
struct Signer {
    clock: Arc<SetClock>,
    asked: Mutex<Vec<&'static str>>,
    certificate: Mutex<String>,
    /// So many requests fail first.
    failures: Mutex<u32>,
}

impl Signer {
    fn client(self: &Arc<Self>, who: &'static str) -> Client {
        let signer = self.clone();
        let answer = move |request: Request<kube::client::Body>| {
            let signer = signer.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
                let (code, answer) = signer.answer(who, &parts.method, &body);
                let response = Response::builder().status(code).body(Body::from(answer.to_string()));
                Ok::<_, Infallible>(response.unwrap())
            }
        };
        Client::new(service_fn(answer), "default")
    }

    fn answer(&self, who: &'static str, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        if *method != Method::POST {
            let status = json!({"certificate": ByteString(self.certificate.lock().clone().into_bytes())});
            let item = json!({"metadata": {"name": "csr-1"}, "spec": {"request": "", "signerName": "s"},
                "status": status});
            return (StatusCode::OK, json!({"metadata": {"resourceVersion": "1"}, "items": [item]}));
        }
        self.asked.lock().push(who);
        let mut failures = self.failures.lock();
        if *failures > 0 {
            *failures -= 1;
            return (StatusCode::INTERNAL_SERVER_ERROR, json!({"kind": "Status", "code": 500}));
        }
        let mut request: Value = serde_json::from_slice(body).unwrap();
        let pem: ByteString = serde_json::from_value(request["spec"]["request"].clone()).unwrap();
        *self.certificate.lock() = self.sign(&String::from_utf8(pem.0).unwrap());
        request["metadata"]["name"] = json!("csr-1");
        (StatusCode::CREATED, request)
    }

    /// Signs for a year from now on.
    fn sign(&self, request: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let second =
            |second: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(second.unsigned_abs());
        let now = self.clock.now().as_second();
        request.params.not_before = second(now);
        request.params.not_after = second(now + 365 * 86_400);
        let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
        request.signed_by(&issuer).unwrap().pem()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_asks_with_the_token_while_it_has_no_certificate_and_as_itself_when_one_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(Mutex::new(at(1_000_000_000))));
    let signer = Arc::new(Signer {
        clock: clock.clone(),
        asked: Mutex::default(),
        certificate: Mutex::default(),
        failures: Mutex::new(2),
    });
    let path = dir.path().join("current.pem");
    let keeper = Keeper::open(path.clone(), Wanted::client("n1"), clock.clone());
    let mut current = keeper.watch();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(keeper.run(signer.client("node"), Some(signer.client("token")), stop.clone()));
    current.wait_for(Option::is_some).await.unwrap();
    assert_eq!(*signer.asked.lock(), ["token"; 3], "refused twice");
    let year = 365 * 86_400;
    for (after, expected) in [(year / 2, None), (year * 9 / 10, Some("node")), (year * 4, Some("token"))] {
        signer.asked.lock().clear();
        *clock.0.lock() = at(1_000_000_000 + after);
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(signer.asked.lock().first().copied(), expected);
        assert!(signer.asked.lock().len() < 2);
        let held = current.borrow_and_update().clone().unwrap();
        assert!(held.serves(&Wanted::client("n1"), clock.now()) && Identity::load(&path) == Some(held));
    }
    // A clock that goes back makes a certificate one of the future.
    signer.asked.lock().clear();
    *clock.0.lock() = at(1_000_000_000);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(*signer.asked.lock(), ["token"]);
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}
