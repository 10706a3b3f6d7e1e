//! What reaches endpoints, what comes back, and what happens when endpoints fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rstest::rstest;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::backends::{Backend, nobody, read_head};
use super::clients::{Client, by_http2, get};
use super::{Served, all_by, all_to};
use crate::tls::TRUSTING;
use crate::{Certificate, Certificates, Host, Limits, Protocol, Site, Table};

#[tokio::test]
async fn a_request_goes_on_with_who_sent_it() {
    let backend = Backend::start("a").await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let mut client = Client::connect(served.address).await;
    let request =
        Request::get("/headers?x=1").header("host", "A.Example:8080").header("x-forwarded-for", "10.0.0.1");
    let got = client.send(request.body(Full::default()).unwrap()).await;
    let port = served.address.port();
    let mut lines: Vec<&str> = got.text.lines().collect();
    lines.sort_unstable();
    let port = format!("x-forwarded-port: {port}");
    let expected = [
        "GET /headers?x=1",
        "host: A.Example:8080",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: A.Example:8080",
        &port,
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
    ];
    assert_eq!((got.status, lines.as_slice()), (StatusCode::OK, &expected[..]));
    served.stop().await;
}

#[rstest]
#[case(Protocol::Http1)]
#[case(Protocol::Http2)]
#[tokio::test]
async fn bodies_and_trailers_pass_both_ways(#[case] protocol: Protocol) {
    let backend = Backend::start("a").await;
    let served = Served::start([all_by(protocol, &[backend.address])]).await;
    let body = Bytes::from(vec![b'x'; 300_000]);
    let request = Request::post("/echo").header("host", "a").body(Full::new(body.clone())).unwrap();
    assert_eq!(Client::connect(served.address).await.send(request).await.text.as_bytes(), body);
    let request =
        Request::get("http://a.example/trailers").header("te", "trailers").body(Full::default()).unwrap();
    let got = by_http2(served.address, request).await;
    assert_eq!(got.text, "body");
    if protocol == Protocol::Http2 {
        assert_eq!(got.trailers.expect("there are trailers")["grpc-status"], "0");
    }
    served.stop().await;
}

#[tokio::test]
async fn http2_is_told_the_host_as_its_authority() {
    let backend = Backend::start("a").await;
    let served = Served::start([all_by(Protocol::Http2, &[backend.address])]).await;
    let got = get(served.address, "/headers").await;
    assert!(got.text.starts_with("GET http://a.example/headers\n"), "{}", got.text);
    served.stop().await;
}

#[tokio::test]
async fn connections_leave_http() {
    let backend = Backend::start("a").await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    for said in [b"one".as_slice(), b"two"] {
        stream.write_all(said).await.unwrap();
        let mut heard = [0; 3];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
    }
    drop(stream);
    served.stop().await;
}

#[tokio::test]
async fn endpoints_take_turns_and_the_dead_are_passed_over() {
    let (a, b, dead) = (Backend::start("a").await, Backend::start("b").await, nobody().await);
    let served = Served::start([all_to(&[a.address, dead, b.address])]).await;
    let mut client = Client::connect(served.address).await;
    let mut names = Vec::new();
    for _ in 0..30 {
        let post = Request::builder().method(Method::POST).uri("/").header("host", "a");
        names.push(client.send(post.body(Full::from("x")).unwrap()).await.text);
    }
    let count = |name: &str| names.iter().filter(|it| *it == name).count();
    assert!(count("a") >= 10 && count("b") >= 10, "{names:?}");
    assert_eq!((served.proxy.metrics().retries(), served.proxy.metrics().ejections()), (1, 1));
    served.stop().await;
}

#[tokio::test]
async fn statuses_say_what_is_missing() {
    let dead = nobody().await;
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let served = Served::limited(limits, [all_to(&[])]).await;
    let status = async |path: &str| get(served.address, path).await.status.as_u16();
    assert_eq!(status("/").await, 503);
    served.change([all_to(&[dead])]);
    assert_eq!(status("/").await, 502);
    let backend = Backend::start("a").await;
    served.change([all_to(&[backend.address])]);
    assert_eq!(status("/never").await, 504);
    served.change([]);
    assert_eq!(status("/").await, 404);
    served.stop().await;
}

/// An endpoint that answers the first request of each connection, and ends the connection at the second.
async fn forgetful(requests: Arc<AtomicU32>) -> Backend {
    Backend::raw(move |mut stream| {
        let requests = requests.clone();
        async move {
            read_head(&mut stream).await;
            requests.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            read_head(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_was_closed_is_no_failure() {
    let requests = Arc::new(AtomicU32::new(0));
    let backend = forgetful(requests.clone()).await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let mut client = Client::connect(served.address).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text, "ok");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 5);
    served.stop().await;
}

/// A request whose fate is not known is repeated only if that does no harm.
#[rstest]
#[case(Method::GET, "", StatusCode::OK)]
#[case(Method::DELETE, "", StatusCode::OK)]
#[case(Method::POST, "", StatusCode::BAD_GATEWAY)]
#[case(Method::PUT, "body", StatusCode::BAD_GATEWAY)]
#[tokio::test]
async fn an_endpoint_that_dies_in_a_request(
    #[case] method: Method,
    #[case] body: &'static str,
    #[case] expected: StatusCode,
) {
    let dying = Backend::raw(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let well = Backend::start("well").await;
    let served = Served::start([all_to(&[dying.address, well.address])]).await;
    let request =
        Request::builder().method(method).uri("/").header("host", "a").body(Full::from(body)).unwrap();
    let got = Client::connect(served.address).await.send(request).await;
    assert_eq!(got.status, expected, "{}", got.text);
    served.stop().await;
}

#[tokio::test]
async fn nothing_fails_while_endpoints_come_and_go() {
    let backends = [Backend::start("a").await, Backend::start("b").await, Backend::start("c").await];
    let served = Served::start([all_to(&[backends[0].address])]).await;
    let address = served.address;
    let asking = async {
        let mut client = Client::connect(address).await;
        for _ in 0..500 {
            assert_eq!(client.get("/").await.status, StatusCode::OK);
        }
    };
    let changing = async {
        for turn in 0..500_usize {
            let (first, second) = (turn % 3, (turn + 1) % 3);
            served.change([all_to(&[backends[first].address, backends[second].address])]);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(asking, asking_too(address), changing);
    served.stop().await;
}

async fn asking_too(address: std::net::SocketAddr) {
    for _ in 0..100 {
        assert_eq!(get(address, "/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_request_under_way_ends_before_the_proxy() {
    let backend = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    });
    let backend = backend.await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let address = served.address;
    let (got, ()) = tokio::join!(get(address, "/"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        served.stop().await;
    });
    assert_eq!(got.text, "late");
}

#[tokio::test]
async fn a_name_is_shown_the_certificate_of_the_time() {
    let site = |name: &str| {
        let (certificate, der) = certificate(name);
        let mut certificates = Certificates::default();
        certificates.add(&Host::Exactly("a.example".to_owned()), &certificate);
        (Site { table: Table::new([]), certificates }, der)
    };
    let shown = async |address| {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let stream = TRUSTING.connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let ((first, first_der), (second, second_der)) = (site("a.example"), site("a.example"));
    let served = Served::open(Limits::default(), first, true).await;
    assert_eq!(shown(served.address).await, first_der);
    served.site.send_replace(Arc::new(second));
    assert_eq!(shown(served.address).await, second_der);
    served.stop().await;
}

/// A certificate of one's own, and what is shown of it.
fn certificate(name: &str) -> (Certificate, CertificateDer<'static>) {
    let provider = rustls::crypto::ring::default_provider();
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider).unwrap();
    (certificate, made.cert.der().clone())
}

#[tokio::test]
async fn endpoints_are_spoken_to_by_tls_whatever_they_show() {
    let backend = Backend::start("a").await;
    let certificates = Certificates::new(Some(certificate("endpoint.example").0));
    let site = Site { table: Table::new([all_to(&[backend.address])]), certificates };
    let endpoint = Served::open(Limits::default(), site, true).await;
    let served = Served::start([all_by(Protocol::Https, &[endpoint.address])]).await;
    for _ in 0..2 {
        let got = get(served.address, "/").await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "a"));
    }
    served.change([all_by(Protocol::Https, &[backend.address])]);
    assert_eq!(get(served.address, "/").await.status, StatusCode::BAD_GATEWAY, "it speaks no TLS");
    served.stop().await;
    endpoint.stop().await;
}
