//! The contract of `wherry_runtime_api::Runtime`, and what of it is this runtime's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wherry_runtime_api::{ContainerSpec, ExitReason, Runtime};
use wherry_runtime_suite::{Machine, PODS};

use crate::support::{Node, PATIENCE, address, container, get, guest_file, image, pod_ip, runtime, strings};

/// A machine whose containers run the guest as a module (wasip1) or as a component (wasip2).
struct Wasm<const WASIP: u8> {
    node: Node,
    files: PathBuf,
}

impl<const WASIP: u8> Machine for Wasm<WASIP> {
    const OUTLIVES_AGENT: bool = false;

    async fn new() -> Self {
        let node = Node::new();
        let files = node.dir.path().join("files");
        std::fs::create_dir(&files).unwrap();
        Self { node, files }
    }

    fn runtime(&self) -> &dyn Runtime {
        &self.node.runtime
    }

    fn dir(&self) -> &Path {
        &self.files
    }

    fn container(&self, pod: &str, name: &str, steps: &[&str]) -> ContainerSpec {
        let guest = image(&guest_file(&format!("cli-p{WASIP}")));
        let mut spec = container(self.dir(), pod, guest);
        spec.id.name = name.into();
        spec.log_path = self.dir().join(format!("{pod}-{name}.log"));
        spec.sandbox.ip = pod_ip(u8::from(pod == PODS[1]));
        spec.args = Some(strings(steps));
        spec
    }

    fn command(&self, steps: &[&str]) -> Vec<String> {
        [&["program"], steps].concat().into_iter().map(str::to_owned).collect()
    }

    async fn restart(&mut self) {
        self.node.runtime = runtime(self.node.dir.path(), |_| {});
    }

    async fn finish(self) {
        for spec in PODS.map(|pod| self.container(pod, "main", &[])) {
            self.runtime().remove_sandbox(&spec.sandbox.id).await.unwrap();
        }
        assert_eq!(self.runtime().list().await.unwrap(), []);
        let mounts = std::fs::read_dir(self.node.dir.path().join("runtime/mounts"));
        assert_eq!(mounts.map_or(0, Iterator::count), 0, "mounts are left");
    }
}

mod modules {
    wherry_runtime_suite::suite!(super::Wasm<1>);
}

mod components {
    wherry_runtime_suite::suite!(super::Wasm<2>);
}

#[tokio::test]
async fn a_server_started_again_goes_on_serving() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.start(&spec).await.unwrap();
    let first = node.runtime.list().await.unwrap();
    node.start(&spec).await.unwrap();
    assert_eq!(node.runtime.list().await.unwrap(), first, "repeating changed something");
    assert_eq!(get(address(&spec), "/").await.0, 200);
    let starts = futures::future::join_all((0..8).map(|_| node.runtime.start(&spec.id))).await;
    assert!(starts.iter().all(Result::is_ok), "{starts:?}");
    assert_eq!(node.runtime.handler(), "wasmtime");
}

#[tokio::test]
async fn an_id_is_one_specification() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.runtime.create(&spec).await.unwrap();
    let other = ContainerSpec { ports: vec![81], ..spec.clone() };
    let error = node.runtime.create(&other).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("container {}: it exists already with another specification; remove it first", spec.id)
    );
}

#[tokio::test]
async fn a_mount_that_cannot_be_opened_says_which() {
    let node = Node::new();
    let mut spec = node.container("other", "cli-p1");
    spec.mounts = vec![wherry_runtime_api::Mount::new("/nonexistent/volume", "/data", true)];
    let error = node.start(&spec).await.unwrap_err().to_string();
    assert!(error.contains("mount /data: cannot open /nonexistent/volume"), "{error}");
    assert_eq!(node.exited(&spec.id).await.reason, ExitReason::StartError);
}

#[tokio::test]
async fn dropping_the_runtime_ends_everything() {
    let node = Node::new();
    let server = node.container("server", "hello-wasm");
    let mut spin = node.container("spin", "cli-p2");
    spin.args = Some(strings(&["spin"]));
    node.start(&server).await.unwrap();
    node.start(&spin).await.unwrap();
    drop(node);
    let closed = async {
        while tokio::net::TcpStream::connect(address(&server)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the listener is closed");
}
