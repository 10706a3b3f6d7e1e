//! What a rule does to requests on their way, and to answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::backends::{Backend, read_head};
use super::clients::{Client, exchange, get};
use super::{Served, all_to, backend};
use crate::{Action, Forward, Fraction, HeaderEdits, PathEdit, PathMatch, Protocol, Redirect, Rewrite, Rule};

fn forward(forward: Forward) -> Rule {
    Rule { action: Action::Forward(Arc::new(forward)), ..all_to(&[]) }
}

fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

#[tokio::test]
async fn backends_get_as_many_requests_as_their_weights_say() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let weighted = |weight, name: &str, it: &Backend| (weight, backend(name, Protocol::Http1, &[it.address]));
    let never = (0, backend("never", Protocol::Http1, &[]));
    let backends = vec![weighted(70, "a", &a), never, weighted(30, "b", &b)];
    let served = Served::start([forward(Forward { backends, ..Forward::default() })]).await;
    let mut client = Client::connect(served.address).await;
    let mut counts = BTreeMap::new();
    for _ in 0..200 {
        *counts.entry(client.get("/").await.text).or_insert(0) += 1;
    }
    assert!((137..=143).contains(&counts["a"]) && counts["a"] + counts["b"] == 200, "{counts:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_rule_without_backends_and_one_without_endpoints() {
    let status = |nowhere| {
        let mut one = (*backend("none", Protocol::Http1, &[])).clone();
        one.nowhere = nowhere;
        forward(Forward::to(Arc::new(one)))
    };
    let served = Served::start([forward(Forward::default())]).await;
    let answered = async |path: &str| get(served.address, path).await.status;
    assert_eq!(answered("/").await, StatusCode::INTERNAL_SERVER_ERROR);
    served.change([status(StatusCode::INTERNAL_SERVER_ERROR)]);
    assert_eq!(answered("/").await, StatusCode::INTERNAL_SERVER_ERROR);
    served.change([status(StatusCode::SERVICE_UNAVAILABLE)]);
    assert_eq!(answered("/").await, StatusCode::SERVICE_UNAVAILABLE);
    served.stop().await;
}

#[tokio::test]
async fn an_endpoint_sees_the_rewritten_target_and_headers() {
    let it = Backend::start("a").await;
    let rewrite = Rewrite {
        host: Some(HeaderValue::from_static("b.example")),
        path: Some(PathEdit::Prefix("/headers".to_owned())),
    };
    let backends = vec![(1, backend("a", Protocol::Http1, &[it.address]))];
    let request = HeaderEdits::new(vec![header("x-set", "2")], vec![header("x-add", "2")], vec![]).unwrap();
    let forward = forward(Forward { backends, rewrite, request, ..Forward::default() });
    let served = Served::start([Rule { path: PathMatch::Prefix("/one".to_owned()), ..forward }]).await;
    let request =
        Request::get("/one?q=1").header("host", "a.example").header("x-set", "1").header("x-add", "1");
    let got = Client::connect(served.address).await.send(request.body(Full::default()).unwrap()).await;
    assert!(got.text.starts_with("GET /headers?q=1\n"), "{}", got.text);
    for line in ["host: b.example", "x-forwarded-host: a.example", "x-set: 2", "x-add: 1", "x-add: 2"] {
        assert!(got.text.lines().any(|found| found == line), "{line} in {}", got.text);
    }
    assert!(!got.text.contains("x-set: 1"), "{}", got.text);
    served.stop().await;
}

#[tokio::test]
async fn a_client_sees_the_headers_that_the_rule_wants() {
    let it = Backend::start("a").await;
    let response =
        HeaderEdits::new(vec![header("x-new", "1")], vec![], vec![HeaderName::from_static("date")]).unwrap();
    let backends = vec![(1, backend("a", Protocol::Http1, &[it.address]))];
    let served = Served::start([forward(Forward { backends, response, ..Forward::default() })]).await;
    let got = exchange(served.address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(got.to_ascii_lowercase().contains("\r\nx-new: 1\r\n"), "{got}");
    served.stop().await;
}

/// A backend's own edits come after the rule's, and concern neither other backends nor who gets a copy.
#[tokio::test]
async fn each_backend_has_edits_of_its_own() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let (a, b, copies) =
        (Backend::start("a").await, Backend::start("b").await, header_keeper(seen.clone()).await);
    let set = |name, value| HeaderEdits::new(vec![header(name, value)], vec![], vec![]).unwrap();
    let edited = |name: &'static str, it: &Backend| {
        let mut one = (*backend(name, Protocol::Http1, &[it.address])).clone();
        (one.request, one.response) = (set("x-to", name), set("x-from", name));
        (1, Arc::new(one))
    };
    let plain = Backend::start("c").await;
    let served = Served::start([forward(Forward {
        backends: vec![
            edited("a", &a),
            edited("b", &b),
            (1, backend("c", Protocol::Http1, &[plain.address])),
        ],
        request: set("x-to", "rule"),
        response: set("x-from", "rule"),
        mirrors: vec![(Fraction::ALL, backend("copies", Protocol::Http1, &[copies.address]))],
        ..Forward::default()
    })])
    .await;
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        let ask = b"GET /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let got = exchange(served.address, ask).await.to_ascii_lowercase();
        let values = |name: &str| {
            let found = got.lines().filter_map(|line| line.strip_prefix(name).map(str::to_owned));
            found.collect::<Vec<_>>()
        };
        let (to, from) = (values("x-to: "), values("x-from: "));
        assert_eq!((to.len(), &to), (1, &from), "{got}");
        *counts.entry(to[0].clone()).or_insert(0) += 1;
    }
    assert!(["a", "b", "rule"].iter().all(|name| counts[*name] >= 8), "{counts:?}");
    let all = async {
        while seen.lock().len() < 30 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("the copies arrive");
    assert!(seen.lock().iter().all(|head| head.contains("x-to: rule\r\n")), "{:?}", seen.lock());
    served.stop().await;
}

/// An endpoint that keeps the heads of requests without bodies.
async fn header_keeper(seen: Arc<Mutex<Vec<String>>>) -> Backend {
    Backend::raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                seen.lock().push(head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await
}

#[rstest]
#[case("a.example:7080", "http://b.example:7080/x?q=1")]
#[case("a.example", "http://b.example:8000/x?q=1")]
#[tokio::test]
async fn a_client_is_led_elsewhere(#[case] host: &str, #[case] expected: &str) {
    let (scheme, port, path) = (None, None, None);
    let status = StatusCode::MOVED_PERMANENTLY;
    let redirect = Redirect { scheme, host: Some("b.example".to_owned()), port, path, came_to: 8000, status };
    let served = Served::start([Rule { action: Action::Redirect(redirect), ..all_to(&[]) }]).await;
    let ask = format!("GET /x?q=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let got = exchange(served.address, ask.as_bytes()).await.to_ascii_lowercase();
    assert!(got.starts_with("http/1.1 301 ") && got.contains(&format!("location: {expected}\r\n")), "{got}");
    served.stop().await;
}

#[tokio::test]
async fn an_answer_begins_in_the_time_of_its_rule() {
    let it = Backend::start("a").await;
    let backends = || vec![(1, backend("a", Protocol::Http1, &[it.address]))];
    let short = Some(Duration::from_millis(50));
    let rules = [
        Forward { backends: backends(), time: short, ..Forward::default() },
        Forward { backends: backends(), answer_time: short, ..Forward::default() },
    ];
    for rule in rules {
        let served = Served::start([forward(rule)]).await;
        assert_eq!(get(served.address, "/never").await.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(get(served.address, "/").await.text, "a");
        served.stop().await;
    }
}

/// An endpoint that keeps what it was sent, up to an empty line or, if there is one of so many bytes, the end of the body.
async fn keeper(seen: Arc<Mutex<Vec<String>>>) -> Backend {
    Backend::raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
                let whole = stream.read_exact(&mut body).await.is_ok();
                let start = head.lines().next().unwrap_or_default();
                seen.lock().push(format!("{start} {} {whole}", body.len()));
                let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn others_get_copies_and_nobody_waits_for_them() {
    let (first, second) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
    let (it, one, two) =
        (Backend::start("a").await, keeper(first.clone()).await, keeper(second.clone()).await);
    let dead = Backend::raw(|_| std::future::pending()).await;
    let to = |name: &str, it: &Backend| backend(name, Protocol::Http1, &[it.address]);
    let half = Fraction { of: 1, all: 2 };
    let mirrors =
        vec![(Fraction::ALL, to("one", &one)), (half, to("two", &two)), (Fraction::ALL, to("dead", &dead))];
    let backends = vec![(1, to("a", &it))];
    let served = Served::start([forward(Forward { backends, mirrors, ..Forward::default() })]).await;
    let mut client = Client::connect(served.address).await;
    let body = Bytes::from(vec![b'x'; 100_000]);
    let post = Request::post("/echo").header("host", "a").body(Full::new(body.clone())).unwrap();
    assert_eq!(client.send(post).await.text.as_bytes(), body);
    for _ in 0..9 {
        assert_eq!(client.get("/").await.text, "a");
    }
    let all = async {
        while first.lock().len() < 10 || second.lock().len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("the copies arrive");
    let seen = first.lock().clone();
    assert_eq!(seen.iter().filter(|line| *line == "GET / HTTP/1.1 0 true").count(), 9, "{seen:?}");
    assert!(seen.contains(&"POST /echo HTTP/1.1 100000 true".to_owned()), "{seen:?}");
    assert!((4..=6).contains(&second.lock().len()), "{:?}", second.lock());
    served.stop().await;
}
