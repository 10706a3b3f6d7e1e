//! Endpoints of the proxy's own process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::header::HOST;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

use super::backends::{Backend, nobody};
use super::clients::{Client, by_http2, exchange, get};
use super::{Served, all_by, all_to};
use crate::{
    Body, BodyError, Certificates, Ended, Inside, Limits, Protocol, Proxy, Rule, Server, Site, Table,
};

/// A server at an address at which nobody takes connections.
struct Known(SocketAddr);

impl Inside for Known {
    fn at(&self, address: SocketAddr) -> Option<Box<dyn Server>> {
        (address == self.0).then(|| Box::new(Echo) as Box<dyn Server>)
    }
}

/// Answers with the target, the host and the body; `/end` ends, `/cut` ends within its answer, `/trailers` has trailers.
struct Echo;

impl Server for Echo {
    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Ended>> {
        async move {
            let told =
                |text: String| Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
            let broken = || BodyError::Broken("the server ended".into());
            match request.uri().path() {
                "/end" => Err("the server ended".into()),
                "/cut" => {
                    let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(broken())];
                    // The proxy sends the first before it hears of the second.
                    let frames = futures::stream::iter(frames).then(|frame| async {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        frame
                    });
                    Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
                }
                "/trailers" => {
                    let trailers = HeaderMap::from_iter([("grade".parse()?, "good".parse()?)]);
                    let frames =
                        [Ok(Frame::data(Bytes::from_static(b"whole"))), Ok(Frame::trailers(trailers))];
                    Ok(Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync()))
                }
                _ => {
                    let (head, body) = request.into_parts();
                    assert_eq!((head.uri.scheme(), head.uri.authority()), (None, None));
                    let host = head.headers[HOST].to_str()?.to_owned();
                    let body = body.collect().await?.to_bytes();
                    Ok(told(format!("{} {host} {}", head.uri, String::from_utf8_lossy(&body))))
                }
            }
        }
        .boxed()
    }
}

async fn served(known: SocketAddr, rule: Rule) -> Served {
    let site = Site { table: Table::new([rule]), certificates: Certificates::default() };
    Served::by(Proxy::beside(Limits::default(), Arc::new(Known(known))), site, false).await
}

#[tokio::test]
async fn a_server_of_the_process_answers_without_a_connection() {
    let known = nobody().await;
    let served = served(known, all_to(&[known])).await;
    let mut client = Client::connect(served.address).await;
    let post = Request::post("/a?b=c").header("host", "shop.example").body(Full::from("hello")).unwrap();
    assert_eq!(client.send(post).await.text, "/a?b=c shop.example hello");
    let request = Request::get(format!("http://{}/trailers", served.address)).body(Full::default()).unwrap();
    let got = by_http2(served.address, request).await;
    assert_eq!((got.text.as_str(), &got.trailers.unwrap()["grade"]), ("whole", &"good".parse().unwrap()));
    served.stop().await;
}

#[tokio::test]
async fn one_that_ends_is_passed_over_as_one_is_that_takes_no_connection() {
    let (known, elsewhere) = (nobody().await, Backend::start("elsewhere").await);
    let served = served(known, all_to(&[known, elsewhere.address])).await;
    let mut client = Client::connect(served.address).await;
    for _ in 0..4 {
        assert_eq!(client.get("/end").await.text, "elsewhere");
    }
    assert!(served.proxy.metrics().retries() > 0);
    served.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let known = nobody().await;
    let served = served(known, all_to(&[known])).await;
    let answer = exchange(served.address, b"GET /cut HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(get(served.address, "/end").await.status, StatusCode::BAD_GATEWAY);
    served.stop().await;
}

#[tokio::test]
async fn what_is_to_be_spoken_in_other_ways_goes_by_connections() {
    let elsewhere = Backend::start("elsewhere").await;
    let served = served(elsewhere.address, all_by(Protocol::Http2, &[elsewhere.address])).await;
    assert_eq!(get(served.address, "/").await.text, "elsewhere");
    served.stop().await;
}
