//! What hostile images and guests try: each is refused, and told why.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, DnsConfig, Mount, Runtime as _, RuntimeError};
use wherry_wasm_runtime::Names;

use crate::support::{Node, PATIENCE, address, container, get, image_of, log, pod_ip, strings};

/// A component that imports an instance of this name, which exports a function `f`, and nothing else.
fn importing(name: &str) -> Vec<u8> {
    let len = |bytes: usize| u8::try_from(bytes).expect("a short name");
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // Types: one, of an instance that declares a type `func()` and exports a function of it.
    bytes.extend(b"\x07\x0e\x01\x42\x02\x01\x40\0\x01\0\x04\0\x01f\x01\0");
    // Imports: one, by a plain name, an instance of that type.
    bytes.extend([10, len(name.len() + 5), 1, 0, len(name.len())]);
    bytes.extend(name.as_bytes());
    bytes.extend([5, 0]);
    bytes
}

async fn refused(node: &Node, bytes: &[u8]) -> String {
    let image = image_of(node.dir.path(), bytes);
    node.runtime.create(&container(node.dir.path(), "refused", image)).await.unwrap_err().to_string()
}

fn with(mut spec: ContainerSpec, annotation: &str, value: &str) -> ContainerSpec {
    spec.annotations.insert(format!("run.wherry.dev/{annotation}"), value.to_owned());
    spec
}

async fn undeclared_imports() {
    let node = Node::new();
    for name in ["wasi:sockets/raw@0.2.0", "wasi:filesystem/root@0.2.0", "host:exec/run"] {
        let error = refused(&node, &importing(name)).await;
        assert!(error.contains(name), "{error}");
    }
    for (guest, given, import) in [
        ("tcp-echo", "http-client", "wasi:sockets/"),
        ("http", "sockets", "wasi:http/outgoing-handler@0.2."),
        ("http", "", "wasi:http/outgoing-handler@0.2."),
    ] {
        let spec = with(node.container(guest, guest), "capabilities", given);
        let error = node.runtime.create(&spec).await.unwrap_err();
        assert!(matches!(error, RuntimeError::NotGranted { .. }), "{error}");
        assert!(error.to_string().contains(&format!("it imports {import}")), "{error}");
    }
    let given = with(node.container("hello", "hello-wasm"), "capabilities", "");
    node.start(&given).await.unwrap();
    assert_eq!(get(address(&given), "/").await.0, 200);
}

async fn paths_out_of_a_volume() {
    let node = Node::new();
    let volume = node.dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(node.dir.path().join("secret"), "secret").unwrap();
    for (link, target) in [("up", "../secret"), ("etc", "/etc"), ("root", "/")] {
        std::os::unix::fs::symlink(Path::new(target), volume.join(link)).unwrap();
    }
    for (attempt, path) in (0..).zip([
        "/data/../secret",
        "/data/up",
        "/data/etc/passwd",
        "/data/root/etc/passwd",
        "/data/./../../../../../etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
    ]) {
        for guest in ["cli-p1", "cli-p2"] {
            let mut spec = node.container(guest, guest);
            spec.id.attempt = attempt;
            spec.args = Some(strings(&["cat", path]));
            spec.mounts = vec![Mount::new(&volume, "/data", false)];
            assert_eq!(node.run(&spec).await.code, 1, "{guest} read {path}");
        }
    }
}

/// Leads to the Pod itself at one time, and at the next to where no name should lead.
#[derive(Default)]
struct Rebinding {
    asked: AtomicUsize,
}

#[async_trait]
impl Names for Rebinding {
    async fn addresses(&self, _: &str, _: &DnsConfig) -> io::Result<Vec<IpAddr>> {
        let addresses = [pod_ip(0).to_string(), "169.254.169.254".to_owned()];
        Ok(vec![addresses[self.asked.fetch_add(1, Ordering::SeqCst) % 2].parse().unwrap()])
    }
}

async fn addresses_of_the_node() {
    let node = Node::with(|config| config.names = Arc::new(Rebinding::default()));
    let spec = node.container("server", "http");
    node.start(&spec).await.unwrap();
    let asked = async |target: &str| get(address(&spec), &format!("/get/{target}/")).await.1;
    let prohibited = "ErrorCode::DestinationIpProhibited";
    for target in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        assert_eq!(asked(target).await, prohibited, "{target}");
    }
    // Whoever listens on the node's own addresses hears nothing: localhost is the Pod.
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = local.local_addr().unwrap().port();
    for host in
        ["127.0.0.1", "0.0.0.0", "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"]
    {
        let answer = timeout(PATIENCE, asked(&format!("{host}:{port}"))).await.unwrap();
        assert!(answer.starts_with("ErrorCode::"), "{host}: {answer}");
    }
    assert!(timeout(std::time::Duration::from_millis(1), local.accept()).await.is_err());
    // Of the same name, each address is asked for leave.
    node.runtime.remove(&spec.id).await.unwrap();
    node.start(&spec).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(get(address(&spec), "/get/rebinds:8080/count").await.1);
    }
    answers.sort_unstable();
    assert_eq!(answers, ["1", prohibited]);
    let text = log(&spec, Stream::Stderr).join("\n");
    assert!(text.contains("169.254.169.254:80 is out of this Pod's reach"), "{text}");
}

async fn addresses_that_the_pod_does_not_name() {
    let node = Node::new();
    let mut back = node.container("back", "http");
    back.sandbox.ip = pod_ip(1);
    node.start(&back).await.unwrap();
    let path = format!("/get/{}/count", address(&back));
    for (egress, expected) in [
        ("192.0.2.0/24", "ErrorCode::DestinationIpProhibited".to_owned()),
        ("", "ErrorCode::DestinationIpProhibited".to_owned()),
        (&*format!("192.0.2.0/24, {}", pod_ip(1)), "1".to_owned()),
    ] {
        let front = with(node.container("front", "http"), "egress", egress);
        node.start(&front).await.unwrap();
        assert_eq!(get(address(&front), &path).await.1, expected, "{egress:?}");
        let own = format!("/get/localhost:{}/count", address(&front).port());
        assert_eq!(get(address(&front), &own).await.1, "1", "a Pod reaches itself");
        node.runtime.remove(&front.id).await.unwrap();
    }
    let error = node.start(&with(node.container("front", "http"), "egress", "10.0.0.300")).await.unwrap_err();
    assert!(error.to_string().contains("the value \"10.0.0.300\", which is not a list of CIDRs"), "{error}");
}

/// A host that is named is reached wherever it is, but not on the link; no other is even looked up.
async fn hosts_that_the_pod_does_not_name() {
    let names = Arc::new(Rebinding::default());
    let node = Node::with(|config| config.names = names.clone());
    let mut back = node.container("back", "http");
    back.sandbox.ip = pod_ip(0);
    node.start(&back).await.unwrap();
    let mut front = with(node.container("front", "http"), "egress", "*.example.com");
    front.sandbox.ip = pod_ip(1);
    node.start(&front).await.unwrap();
    let asked = async |host: &str| get(address(&front), &format!("/get/{host}:8080/count")).await.1;
    let prohibited = "ErrorCode::DestinationIpProhibited";
    assert_eq!(asked(&pod_ip(0).to_string()).await, prohibited, "nobody found it by its name yet");
    assert_eq!(asked("example.org").await, prohibited);
    assert_eq!(names.asked.load(Ordering::SeqCst), 0, "a question is a way out, too");
    assert_eq!(asked("db.example.com").await, "1");
    assert_eq!(asked("api.example.com").await, prohibited, "it leads to the link");
    assert_eq!(
        asked(&pod_ip(0).to_string()).await,
        "1",
        "a host that was found may be called by its address"
    );
    let text = log(&front, Stream::Stderr).join("\n");
    assert!(text.contains("the name \"example.org\" is not one that the annotation"), "{text}");
}

/// What the namespace is held to, as the API server tells it.
async fn what_a_restricted_namespace_does_not_give() {
    let node = Node::new();
    let mut back = node.container("back", "http");
    back.sandbox.ip = pod_ip(1);
    node.start(&back).await.unwrap();
    let restricted = |name| with(node.container(name, "http"), "level", "restricted");
    let error = node.start(&restricted("refused")).await.unwrap_err();
    assert!(error.to_string().contains("it imports wasi:http/outgoing-handler@0.2."), "{error}");
    let path = format!("/get/{}/count", address(&back));
    let asking = with(restricted("asking"), "capabilities", "http-client, sockets");
    node.start(&asking).await.unwrap();
    assert_eq!(get(address(&asking), &path).await.1, "ErrorCode::DestinationIpProhibited");
    node.runtime.remove(&asking.id).await.unwrap();
    let named = with(asking, "egress", &format!("169.254.0.0/16, {}", pod_ip(1)));
    node.start(&named).await.unwrap();
    assert_eq!(get(address(&named), &path).await.1, "1");
    let link = get(address(&named), "/get/169.254.169.254/").await.1;
    assert_eq!(link, "ErrorCode::DestinationIpProhibited", "not even if it is named");
}

async fn addresses_of_the_node_that_are_not_local_ones() {
    let node = Node::with(|config| config.node_addresses = vec![pod_ip(1)]);
    let listener = TcpListener::bind((pod_ip(1), 0)).await.unwrap();
    let spec = with(node.container("server", "http"), "level", "baseline");
    node.start(&spec).await.unwrap();
    let path = format!("/get/{}/", listener.local_addr().unwrap());
    assert_eq!(get(address(&spec), &path).await.1, "ErrorCode::DestinationIpProhibited");
}

async fn code_that_is_not_webassembly() {
    let node = Node::with(|config| config.limits.image_bytes = 1_000_000);
    let spec = node.container("hello", "hello-wasm");
    node.start(&spec).await.unwrap();
    let code =
        std::fs::read_dir(node.dir.path().join("runtime/code")).unwrap().next().unwrap().unwrap().path();
    let compiled = std::fs::read_dir(code).unwrap().next().unwrap().unwrap().path();
    let error = refused(&node, &std::fs::read(compiled).unwrap()).await;
    assert!(error.contains("native or precompiled code (ELF); only WebAssembly is accepted"), "{error}");
    let mut large = b"\0asm\x01\0\0\0".to_vec();
    // A custom section that nobody reads.
    large.extend([0, 0xc0, 0x84, 0x3d, 1, b'x']);
    large.resize(8 + 4 + 1_000_000, 0);
    let error = refused(&node, &large).await;
    assert!(error.contains("larger than the 1000000 bytes"), "{error}");
}

/// A component of a component twice, of which each is of a component twice, and so on.
fn doubled(depth: u32) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    if depth > 0 {
        let inner = doubled(depth - 1);
        let digit = |number: usize| u8::try_from(number).expect("seven bits");
        bytes.extend([4, 0x80 | digit(inner.len() & 0x7f), digit(inner.len() >> 7)]);
        bytes.extend(inner);
        bytes.extend(b"\x05\x07\x02\0\0\0\0\0\0");
    }
    bytes
}

/// What is small and would take all time, all memory or all of the disk if it were worked through. What does so in layers is stopped by the node
/// before it comes here.
async fn code_that_expands() {
    let node = Node::new();
    let bomb = doubled(40);
    assert!(bomb.len() < 1000);
    let error = timeout(PATIENCE, refused(&node, &bomb)).await.expect("it is not worked through");
    assert!(error.contains("the component is made of more than 10000 instances"), "{error}");
    let few = refused(&node, &doubled(10)).await;
    assert!(few.contains("nothing to run"), "2047 instances are compiled: {few}");
    // A layer of an artifact is never unpacked.
    let error = refused(&node, b"\x1f\x8b\x08\0\0\0\0\0").await;
    assert!(error.contains("not a WebAssembly file: it begins with 1f8b08"), "{error}");
}

/// Requests whose end a proxy in front could see elsewhere.
async fn smuggled_requests() {
    let node = Node::new();
    let spec = node.container("server", "http");
    node.start(&spec).await.unwrap();
    for head in [
        "content-length: 4\r\ncontent-length: 5",
        "content-length: +4",
        "content-length: 4\r\ntransfer-encoding: identity",
        "transfer-encoding : chunked",
        "transfer-encoding: chunked, gzip",
        "x: a\0b",
    ] {
        let mut connection = TcpStream::connect(address(&spec)).await.unwrap();
        let request = format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n0\r\n\r\nGET /count HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A refusal may end the connection before all is read, and then is not read itself.
        let _ =
            timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("the connection is closed");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
        assert!(answer.matches("HTTP/1.1").count() < 2, "{head}: {answer}");
    }
    assert_eq!(get(address(&spec), "/count").await, (200, "1".into()));
}

#[tokio::test]
async fn every_attack_is_refused() {
    undeclared_imports().await;
    paths_out_of_a_volume().await;
    addresses_of_the_node().await;
    addresses_that_the_pod_does_not_name().await;
    addresses_of_the_node_that_are_not_local_ones().await;
    hosts_that_the_pod_does_not_name().await;
    what_a_restricted_namespace_does_not_give().await;
    code_that_is_not_webassembly().await;
    code_that_expands().await;
    smuggled_requests().await;
}
