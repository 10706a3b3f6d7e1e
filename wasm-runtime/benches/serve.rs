//! Figures of the wasm runtime: `cargo bench -p wherry-wasm-runtime`.
//!
//! Needs the guests of `scripts/guests`. Prints one `figure:` line each. The baseline is the server of wasmtime's
//! documentation with the pool that `wasmtime serve` has: hyper and `wasmtime_wasi_http` as they come, without epochs, logs or limits.
//! Requests come from 32 connections of a client in the same process.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and may panic")]

mod plain;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wherry_runtime_api::{
    CommonEnv, Confinement, ContainerId, ContainerSpec, DnsConfig, ImageContent, NodeNamespaces, Resources,
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
    let mut served = JoinSet::new();
    let plain = baseline(image, &mut served).await;
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

async fn baseline(image: &ImageContent, served: &mut JoinSet<()>) -> SocketAddr {
    let ImageContent::Wasm { path, .. } = image else { unreachable!() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    served.spawn(plain::serve(path.clone(), listener));
    address
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
        namespace: "default".into(),
        hostname: "bench".into(),
        ip: "127.244.0.2".parse().unwrap(),
        ip6: None,
        netns: None,
        dns: DnsConfig::default(),
        cgroup_parent: String::new(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        node_namespaces: NodeNamespaces::default(),
        shares_processes: false,
        sysctls: BTreeMap::new(),
        users: None,
    };
    ContainerSpec {
        id: ContainerId { sandbox: sandbox.id.clone(), name: "bench".into(), attempt },
        sandbox,
        image: image.clone(),
        command: None,
        args: None,
        env: vec![("POD_NAME".into(), "bench".into())],
        common_env: CommonEnv::default(),
        working_dir: None,
        mounts: Vec::new(),
        devices: Vec::new(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        cpus: None,
        hooks: Vec::new(),
        user: UserSpec::default(),
        confinement: Confinement::default(),
        read_only_rootfs: false,
        ports: vec![8080],
        processes_of: None,
        own_network: false,
        program: None,
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
