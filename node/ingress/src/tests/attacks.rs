//! Requests that two servers could read as two things: a second request hidden in the first never reaches an endpoint.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rstest::rstest;
use tokio::io::AsyncWriteExt as _;

use super::backends::{Backend, read_head};
use super::clients::exchange;
use super::{Served, all_to};
use crate::Limits;

/// An endpoint that answers each connection once, and what it was sent.
async fn endpoint() -> (Backend, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_by = seen.clone();
    let backend = Backend::raw(move |mut stream| {
        let seen = seen_by.clone();
        async move {
            let head = read_head(&mut stream).await;
            if !head.is_empty() {
                seen.lock().push(head);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            }
        }
    });
    (backend.await, seen)
}

#[rstest]
#[case::two_lengths("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")]
#[case::a_list_of_lengths("Content-Length: 3, 4\r\n\r\nabcd")]
#[case::a_length_with_a_sign("Content-Length: +3\r\n\r\nabc")]
#[case::a_length_that_is_none("Content-Length: 3x\r\n\r\nabc")]
#[case::another_encoding("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")]
#[case::chunks_not_last("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")]
#[case::a_folded_line("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")]
#[case::a_space_before_the_colon("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")]
#[case::a_name_with_a_control("Transfer\x0bEncoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::two_hosts("Host: b.example\r\n\r\n")]
#[case::hops_that_are_none("Connection: close, X-Forwarded-For\r\n\r\n")]
#[case::a_length_for_the_next_hop("Connection: content-length\r\nContent-Length: 3\r\n\r\nabc")]
#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused(#[case] rest: &str) {
    let (backend, seen) = endpoint().await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{rest}{hidden}");
    let answer = exchange(served.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        seen.lock().iter().all(|head| !head.contains("Forwarded: ") && !head.starts_with("POST")),
        "{seen:?}"
    );
    served.stop().await;
}

#[rstest]
#[case::no_size("zz\r\nabc\r\n0\r\n\r\n")]
#[case::a_negative_size("-1\r\nabc\r\n0\r\n\r\n")]
#[case::more_than_its_size("1\r\nabc\r\n0\r\n\r\n")]
#[case::an_absurd_size("fffffffffffffffff\r\nabc\r\n0\r\n\r\n")]
#[tokio::test]
async fn chunks_that_are_none_end_the_connection(#[case] chunks: &str) {
    let (backend, seen) = endpoint().await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let request =
        format!("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}");
    let answer = exchange(served.address, request.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
    assert!(seen.lock().iter().all(|head| !head.contains("/hidden")), "{seen:?}");
    served.stop().await;
}

/// RFC 9112, 6.3: the chunks count, the length does not go on, and the connection ends.
#[rstest]
#[case("Content-Length: 6\r\nTransfer-Encoding: chunked")]
#[case("Transfer-Encoding: chunked\r\nContent-Length: 6")]
#[tokio::test]
async fn of_a_length_and_chunks_the_chunks_count(#[case] framing: &str) {
    let (backend, seen) = endpoint().await;
    let served = Served::start([all_to(&[backend.address])]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}");
    let answer = exchange(served.address, request.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
    let seen = seen.lock().join("").to_ascii_lowercase();
    assert!(!seen.contains("/hidden") && !seen.contains("content-length: 6"), "{seen}");
    served.stop().await;
}

#[tokio::test]
async fn heads_have_limits() {
    let (backend, seen) = endpoint().await;
    let limits = Limits { head: 8192, headers: 20, ..Limits::default() };
    let served = Served::limited(limits, [all_to(&[backend.address])]).await;
    for many in [format!("X: {}\r\n", "x".repeat(10_000)), "X: x\r\n".repeat(30)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{many}\r\n");
        let answer = exchange(served.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(seen.lock().is_empty());
    served.stop().await;
}

#[tokio::test]
async fn whoever_sends_a_head_slowly_is_left() {
    let (backend, seen) = endpoint().await;
    let limits = Limits { head_time: Duration::from_millis(50), ..Limits::default() };
    let served = Served::limited(limits, [all_to(&[backend.address])]).await;
    let answer = exchange(served.address, b"GET / HTTP/1.1\r\nHost: a.exam").await;
    assert!(!answer.contains(" 200 ") && seen.lock().is_empty(), "{answer}");
    served.stop().await;
}
