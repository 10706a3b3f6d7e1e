//! Requests per second at 32 clients, in process, on a real store: CREATE, GET and LIST (2,000 objects) of ConfigMaps.
//!
//! `cargo bench -p wherry-apiserver`; prints `figure:` lines, each the median of five rounds.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;
use wherry_api::clock::{Clock, SystemClock};
use wherry_apiserver::{ApiServer, Config, UserInfo, extractor};
use wherry_store::{Options, Store};

const CLIENTS: usize = 32;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const OBJECTS: usize = 2000;
const PATH: &str = "/api/v1/namespaces/default/configmaps";

static NEXT: AtomicU64 = AtomicU64::new(0);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

fn now_ms() -> u64 {
    u64::try_from(SystemClock.now().as_millisecond()).unwrap_or_default()
}

async fn run() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("store"), Options::new(extractor(), Arc::new(now_ms)));
    let ids = Arc::new(|| format!("00000000-0000-4000-8000-{:012}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let cidr = "10.96.0.0/16".parse().expect("a range");
    let config = Config::new(store.expect("a store"), Arc::new(SystemClock), ids, cidr);
    let router = ApiServer::new(config).router_as(UserInfo::master("bench"));
    send(&router, post("/api/v1/namespaces", r#"{"metadata":{"name":"default"}}"#.to_owned())).await;

    for number in 0..OBJECTS {
        send(&router, post(PATH, object(&format!("fixed-{number}")))).await;
    }
    let list = measure(&router, |_| Request::get(PATH).body(Body::empty()).expect("a request")).await;
    let get = measure(&router, |n| {
        let path = format!("{PATH}/fixed-{}", n % OBJECTS as u64);
        Request::get(path).body(Body::empty()).expect("a request")
    })
    .await;
    let create = measure(&router, |n| post(PATH, object(&format!("new-{n}")))).await;
    report("create", create);
    report("get", get);
    report("list-2000", list);
}

#[expect(clippy::print_stdout, reason = "figures are what a bench is for")]
fn report(name: &str, per_second: f64) {
    println!("figure: apiserver-{name} {per_second:.0} requests/s at {CLIENTS} clients");
}

fn object(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"data":{{"key":"{}"}}}}"#,
        "x".repeat(512)
    )
}

fn post(path: &str, body: String) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body)).expect("a request")
}

async fn send(router: &Router, request: Request<Body>) {
    let response = router.clone().oneshot(request).await.expect("the router always answers");
    let code = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(code.is_success(), "{code} {}", String::from_utf8_lossy(&body));
}

/// The median over rounds of how many requests are answered in a second.
async fn measure(router: &Router, request: impl Fn(u64) -> Request<Body> + Copy + Send + 'static) -> f64 {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let answered = round(router, request, begin + ROUND).await;
        let seconds = begin.elapsed().as_secs_f64();
        rates.push(f64::from(answered) / seconds);
    }
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

fn round(
    router: &Router,
    request: impl Fn(u64) -> Request<Body> + Copy + Send + 'static,
    end: Instant,
) -> impl Future<Output = u32> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let router = router.clone();
        clients.spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                send(&router, request(NEXT.fetch_add(1, Ordering::Relaxed))).await;
                answered += 1;
            }
            answered
        });
    }
    async move { clients.join_all().await.into_iter().sum() }
}
