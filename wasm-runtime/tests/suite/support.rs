//! A runtime with a directory and addresses of its own, and the guests that scripts/guests builds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokio::time::timeout;
use wherry_runtime_api::logs::{self, Stream};
use wherry_runtime_api::{
    CommonEnv, Confinement, ContainerId, ContainerSpec, ContainerState, DnsConfig, ExitReason, ImageContent,
    NodeNamespaces, Resources, Runtime, RuntimeError, SandboxId, SandboxSpec, Streams, UserSpec,
};
use wherry_wasm_runtime::{Config, WasmRuntime};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One node: a runtime and its files.
pub(crate) struct Node {
    pub(crate) runtime: WasmRuntime,
    pub(crate) dir: TempDir,
}

/// How a container ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exited {
    pub(crate) code: i32,
    pub(crate) reason: ExitReason,
    pub(crate) message: String,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime(dir.path(), change);
        Self { runtime, dir }
    }

    /// A container of a guest, in a pod of its own.
    pub(crate) fn container(&self, name: &str, guest: &str) -> ContainerSpec {
        container(self.dir.path(), name, image(&guest_file(guest)))
    }

    /// Creates and starts.
    pub(crate) async fn start(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        self.runtime.create(spec).await?;
        self.runtime.start(&spec.id).await
    }

    /// Runs a command with these arguments to its exit.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> Exited {
        self.start(spec).await.unwrap();
        self.exited(&spec.id).await
    }

    pub(crate) async fn state(&self, id: &ContainerId) -> Option<ContainerState> {
        let all = self.runtime.list().await.unwrap();
        all.into_iter().find(|status| status.id == *id).map(|status| status.state)
    }

    /// Waits for the container's end.
    pub(crate) async fn exited(&self, id: &ContainerId) -> Exited {
        let mut events = self.runtime.events();
        let wait = async {
            loop {
                if let Some(ContainerState::Exited { code, reason, message, .. }) = self.state(id).await {
                    return Exited { code, reason, message };
                }
                events.recv().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.expect("the container did not end")
    }
}

/// A runtime on a directory, which outlives it.
pub(crate) fn runtime(dir: &Path, change: impl FnOnce(&mut Config)) -> WasmRuntime {
    let mut config = Config::new(dir.join("runtime"), Arc::new(jiff::Timestamp::now));
    change(&mut config);
    WasmRuntime::new(config).unwrap()
}

/// A guest built by `scripts/guests`.
pub(crate) fn guest_file(name: &str) -> PathBuf {
    let build = std::env::var_os("WHERRY_BUILD_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build"), PathBuf::from);
    let file = build.join("guests").join(name).with_extension("wasm");
    assert!(file.exists(), "{} is missing: run scripts/guests first", file.display());
    file
}

pub(crate) fn image(path: &Path) -> ImageContent {
    let bytes = std::fs::read(path).unwrap();
    ImageContent::Wasm {
        digest: format!("sha256:{}", hex::encode(digest(&SHA256, &bytes))),
        path: path.to_owned(),
        entrypoint: Vec::new(),
        env: Vec::new(),
    }
}

/// An image of these bytes.
pub(crate) fn image_of(dir: &Path, bytes: &[u8]) -> ImageContent {
    let path = dir.join(format!("image-{}", hex::encode(&digest(&SHA256, bytes).as_ref()[..4])));
    std::fs::write(&path, bytes).unwrap();
    image(&path)
}

pub(crate) fn digest_of(image: &ImageContent) -> &str {
    let (ImageContent::Wasm { digest, .. } | ImageContent::Oci { digest, .. }) = image;
    digest
}

/// The address of the `n`th pod of this test: no other process has it.
pub(crate) fn pod_ip(n: u8) -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // Process ids go up to 2^22.
    Ipv4Addr::new(127, (n + 1) << 6 | (high & 0x3f), middle, low).into()
}

pub(crate) fn container(dir: &Path, name: &str, image: ImageContent) -> ContainerSpec {
    let sandbox = SandboxSpec {
        id: SandboxId(format!("uid-{name}")),
        namespace: "default".into(),
        hostname: format!("host-{name}"),
        ip: pod_ip(0),
        ip6: None,
        netns: None,
        dns: DnsConfig::default(),
        cgroup_parent: "/wherry/test".into(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        node_namespaces: NodeNamespaces::default(),
        shares_processes: false,
        sysctls: BTreeMap::new(),
        users: None,
    };
    ContainerSpec {
        id: ContainerId { sandbox: sandbox.id.clone(), name: name.into(), attempt: 0 },
        sandbox,
        image,
        command: None,
        args: None,
        env: Vec::new(),
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
        log_path: dir.join(format!("{name}.log")),
        annotations: BTreeMap::new(),
    }
}

pub(crate) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn address(spec: &ContainerSpec) -> SocketAddr {
    SocketAddr::new(spec.sandbox.ip, spec.ports.first().copied().unwrap_or(80))
}

/// The lines of one stream of a container's log.
pub(crate) fn log(spec: &ContainerSpec, stream: Stream) -> Vec<String> {
    let file = std::fs::read(&spec.log_path).unwrap();
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| logs::parse(line).expect("a log record"))
        .filter(|record| record.stream == stream)
        .map(|record| String::from_utf8_lossy(record.message).into_owned())
        .collect()
}

pub(crate) fn client() -> Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// GET; the status and the body as far as it came.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    try_get(address, path).await.expect("a response")
}

pub(crate) async fn try_get(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let uri = format!("http://{address}{path}").parse().unwrap();
    let response = timeout(PATIENCE, client().get(uri)).await.expect("an answer in time");
    let response = response.map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| format!("body: {error:?}"))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
