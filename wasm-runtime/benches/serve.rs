//! Figures of the wasm runtime: `cargo bench -p wherry-wasm-runtime`.
//!
//! Needs the guests of `scripts/guests`. Prints one `figure:` line each. The baseline is the server of wasmtime's
//! documentation: the on-demand allocator, hyper and `wasmtime_wasi_http` as they come, without epochs, logs or limits.
//! Requests come from 32 connections of a client in the same process.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and may panic")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wherry_runtime_api::{
    Confinement, ContainerId, ContainerSpec, DnsConfig, ImageContent, NodeNamespaces, Resources,
    Runtime as _, SandboxId, SandboxSpec, Streams, UserSpec,
};
use wherry_wasm_runtime::{Config, WasmRuntime};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
const REPEATS: usize = 5;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    engine_start(dir.path());
    let image = image("hello-wasm");
    prepare(dir.path(), &image).await;
    let runtime = runtime(dir.path());
    starts(&runtime, dir.path(), &image).await;
    throughput(&runtime, dir.path(), &image).await;
}

fn engine_start(dir: &Path) {
    let begin = Instant::now();
    let _runtime = runtime(dir);
    figure("runtime start", begin.elapsed().as_secs_f64() * 1e3, "ms");
    figure("resident memory of an idle process with a runtime", resident_mib(), "MiB");
}

/// From bytes to a program: compiled, from disk, from memory.
async fn prepare(dir: &Path, image: &ImageContent) {
    for (name, forget) in [("cold (compiles)", true), ("warm (from disk)", false)] {
        let mut samples = Vec::new();
        for _ in 0..REPEATS {
            let runtime = runtime(dir);
            if forget {
                runtime.forget_image(digest_of(image)).await.unwrap();
            }
            let begin = Instant::now();
            runtime.prepare_image(image).await.unwrap();
            samples.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        figure(&format!("prepare hello-wasm, {name}"), median(samples), "ms");
    }
}

/// Create to a first answer, image prepared.
async fn starts(runtime: &WasmRuntime, dir: &Path, image: &ImageContent) {
    runtime.prepare_image(image).await.unwrap();
    let (mut started, mut answered) = (Vec::new(), Vec::new());
    for attempt in 0..20 {
        let spec = spec(dir, image, attempt);
        let begin = Instant::now();
        runtime.create(&spec).await.unwrap();
        runtime.start(&spec.id).await.unwrap();
        started.push(begin.elapsed().as_secs_f64() * 1e3);
        let mut connection = TcpStream::connect(address(&spec)).await.unwrap();
        exchange(&mut connection, &mut vec![0; 4096]).await;
        answered.push(begin.elapsed().as_secs_f64() * 1e3);
        runtime.remove(&spec.id).await.unwrap();
        runtime.prepare_image(image).await.unwrap();
    }
    figure("create and start hello-wasm, image prepared", median(started), "ms");
    figure("create to first answer, image prepared", median(answered), "ms");
}

async fn throughput(runtime: &WasmRuntime, dir: &Path, image: &ImageContent) {
    let spec = spec(dir, image, 0);
    runtime.create(&spec).await.unwrap();
    runtime.start(&spec.id).await.unwrap();
    let plain = baseline(image).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        ours.push(load(address(&spec)).await);
        theirs.push(load(plain).await);
    }
    figure("hello-wasm, 32 connections", median(ours), "requests/s");
    figure("hello-wasm, 32 connections, baseline", median(theirs), "requests/s");
    figure("resident memory afterwards", resident_mib(), "MiB");
    runtime.remove(&spec.id).await.unwrap();
}

/// Requests answered per second.
async fn load(address: SocketAddr) -> f64 {
    let answered = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let answered = Arc::clone(&answered);
        clients.spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let mut buffer = vec![0; 4096];
            loop {
                exchange(&mut connection, &mut buffer).await;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, begin) = (answered.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let answered = answered.load(Ordering::Relaxed) - before;
    let rate = f64::from(u32::try_from(answered).unwrap()) / begin.elapsed().as_secs_f64();
    clients.shutdown().await;
    rate
}

/// One request and its whole response, which has a content length.
async fn exchange(connection: &mut TcpStream, buffer: &mut [u8]) {
    connection.write_all(b"GET /bench HTTP/1.1\r\nhost: bench\r\n\r\n").await.unwrap();
    let mut read = 0;
    loop {
        let more = connection.read(&mut buffer[read..]).await.unwrap();
        assert!(more > 0, "the connection closed");
        read += more;
        let text = std::str::from_utf8(&buffer[..read]).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200"), "{text}");
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return;
            }
        }
    }
}

struct Plain {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for Plain {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Plain {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

/// The server of wasmtime's documentation.
async fn baseline(image: &ImageContent) -> SocketAddr {
    let ImageContent::Wasm { path, .. } = image else { unreachable!() };
    let engine = Engine::default();
    let component = Component::from_file(&engine, path).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
    let pre = ProxyPre::<Plain>::new(linker.instantiate_pre(&component).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let pre = pre.clone();
            connections.spawn(async move {
                let answer = hyper::service::service_fn(|request| plain_answer(pre.clone(), request));
                let served = hyper::server::conn::http1::Builder::new();
                let _ = served.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    accepting.detach_all();
    address
}

async fn plain_answer(
    pre: ProxyPre<Plain>,
    request: hyper::Request<hyper::body::Incoming>,
) -> wasmtime::Result<hyper::Response<wasmtime_wasi_http::p2::body::HyperOutgoingBody>> {
    let plain =
        Plain { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(pre.engine(), plain);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let instance = wasmtime_wasi::runtime::spawn(async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    });
    let response = receiver.await??;
    // The body is written by the instance, which must live as long.
    Ok(response.map(|body| http_body_util::BodyExt::boxed_unsync(WithInstance { body, _instance: instance })))
}

struct WithInstance<T> {
    body: wasmtime_wasi_http::p2::body::HyperOutgoingBody,
    _instance: wasmtime_wasi::runtime::AbortOnDropJoinHandle<T>,
}

impl<T: 'static> http_body::Body for WithInstance<T> {
    type Data = bytes::Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn runtime(dir: &Path) -> WasmRuntime {
    WasmRuntime::new(Config::new(dir.join("runtime"), Arc::new(jiff::Timestamp::now))).unwrap()
}

fn image(name: &str) -> ImageContent {
    let build = std::env::var_os("WHERRY_BUILD_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build"), PathBuf::from);
    let path = build.join("guests").join(name).with_extension("wasm");
    let bytes = std::fs::read(&path).expect("run scripts/guests first");
    let digest = format!("sha256:{}", hex::encode(digest(&SHA256, &bytes)));
    ImageContent::Wasm { digest, path, entrypoint: Vec::new(), env: Vec::new() }
}

fn digest_of(image: &ImageContent) -> &str {
    let (ImageContent::Wasm { digest, .. } | ImageContent::Oci { digest, .. }) = image;
    digest
}

fn spec(dir: &Path, image: &ImageContent, attempt: u32) -> ContainerSpec {
    let sandbox = SandboxSpec {
        id: SandboxId("bench".into()),
        hostname: "bench".into(),
        ip: "127.244.0.2".parse().unwrap(),
        netns: None,
        dns: DnsConfig::default(),
        cgroup_parent: String::new(),
        resources: Resources::default(),
        node_namespaces: NodeNamespaces::default(),
        shares_processes: false,
        sysctls: BTreeMap::new(),
    };
    ContainerSpec {
        id: ContainerId { sandbox: sandbox.id.clone(), name: "bench".into(), attempt },
        sandbox,
        image: image.clone(),
        command: None,
        args: None,
        env: vec![("POD_NAME".into(), "bench".into())],
        working_dir: None,
        mounts: Vec::new(),
        devices: Vec::new(),
        resources: Resources::default(),
        user: UserSpec::default(),
        confinement: Confinement::default(),
        read_only_rootfs: false,
        ports: vec![8080],
        processes_of: None,
        streams: Streams::default(),
        log_path: dir.join("log"),
        annotations: BTreeMap::new(),
    }
}

fn address(spec: &ContainerSpec) -> SocketAddr {
    SocketAddr::new(spec.sandbox.ip, spec.ports[0])
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure: {name}: {value:.3} {unit}");
}
