//! Whole requests: method, path with query, Accept, Content-Type and body, each ended by a zero byte. Whatever comes is
//! answered, and an answer that refuses is a `Status` of the same code.
#![no_main]

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt as _;
use wherry_api::clock::Clock;
use wherry_apiserver::{ApiServer, Config, UserInfo, extractor};
use wherry_store::{Options, Store};

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// How long the body of an answer is read; a watch has no end of its own.
const READ: Duration = Duration::from_millis(20);

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

struct Api {
    runtime: tokio::runtime::Runtime,
    router: axum::Router,
    _server: ApiServer,
    _directory: tempfile::TempDir,
}

impl Api {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let options = Options::new(extractor(), Arc::new(|| 0));
        let store = Store::open(&directory.path().join("store"), options).expect("a new store opens");
        let counter = AtomicU64::new(1);
        let ids = Arc::new(move || format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed)));
        let cidr = "10.96.0.0/16".parse().expect("it is a range");
        let server = ApiServer::new(Config::new(store, Arc::new(Epoch), ids, cidr));
        let router = server.router_as(UserInfo::master("fuzzer"));
        Self { runtime, router, _server: server, _directory: directory }
    }

    fn send(&self, request: Request<Body>) {
        let router = self.router.clone();
        self.runtime.block_on(async {
            let response = router.oneshot(request).await.expect("the router cannot fail");
            let code = response.status();
            let read = tokio::time::timeout(READ, response.into_body().collect()).await;
            let Ok(Ok(body)) = read else { return };
            let body = body.to_bytes();
            if (code.is_client_error() || code.is_server_error()) && body.starts_with(b"{") {
                let status: serde_json::Value = serde_json::from_slice(&body).expect("a refusal is JSON");
                assert_eq!(status["code"], code.as_u16(), "{status}");
            }
        });
    }
}

thread_local! {
    static API: OnceCell<Api> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(5, |byte| *byte == 0);
    let [Some(method), Some(path), Some(accept), Some(media), Some(body)] = std::array::from_fn(|_| parts.next()) else {
        return;
    };
    let method = METHODS[method.first().copied().map_or(0, usize::from) % METHODS.len()];
    let Ok(path) = std::str::from_utf8(path) else { return };
    let request = Request::builder().method(method).uri(path).header("accept", accept).header("content-type", media);
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    API.with(|api| api.get_or_init(Api::start).send(request));
});
