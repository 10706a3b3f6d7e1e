//! Pods with a network namespace of their own; these tests make one each and need root, as the node does.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::support::{Node, log, pod_ip, strings};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Runtime as _};

/// A network namespace with loopback up, alive as long as this.
struct Namespace {
    path: PathBuf,
    end: Option<std::sync::mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Namespace {
    fn new() -> Self {
        let (report, made) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel();
        let keeper = std::thread::spawn(move || {
            #[expect(unsafe_code, reason = "only this thread leaves the namespace")]
            // SAFETY: a network namespace shares no memory or file descriptors.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("unshare needs root");
            let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
            assert!(up.success());
            let thread = rustix::thread::gettid().as_raw_nonzero();
            report.send(PathBuf::from(format!("/proc/self/task/{thread}/ns/net"))).unwrap();
            let _: Result<(), _> = wait.recv();
        });
        Self { path: made.recv().unwrap(), end: Some(end), keeper: Some(keeper) }
    }

    /// Runs `work` inside.
    fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let file = File::open(&self.path).unwrap();
        let inside = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::spawn(inside).join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.end.take());
        self.keeper.take().unwrap().join().unwrap();
    }
}

fn inside(namespace: &Namespace, mut spec: ContainerSpec) -> ContainerSpec {
    spec.sandbox.netns = Some(namespace.path.clone());
    spec
}

/// A request by hand; the whole answer.
fn request(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET {path} HTTP/1.0\r\nhost: test\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test]
async fn a_server_listens_in_its_namespace_and_nowhere_else() {
    let node = Node::new();
    let namespace = Namespace::new();
    let spec = inside(&namespace, node.container("server", "http"));
    node.runtime.ensure_sandbox(&spec.sandbox).await.unwrap();
    node.start(&spec).await.unwrap();
    let address = crate::support::address(&spec);
    assert!(request(address, "/").is_err(), "it listens outside");
    let answer = namespace.within(move || request(address, "/")).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");

    // Its requests start inside, too: on localhost it finds itself.
    let localhost = format!("/get/{address}/env/HOSTNAME");
    let answer = namespace.within(move || request(address, &localhost)).unwrap();
    assert!(answer.ends_with("host-server"), "{answer}");
    node.runtime.remove_sandbox(&spec.sandbox.id).await.unwrap();
    assert!(namespace.within(move || request(address, "/")).is_err());
}

#[tokio::test]
async fn sockets_of_a_command_are_made_in_its_namespace() {
    let node = Node::new();
    let namespace = Namespace::new();
    let mut spec = inside(&namespace, node.container("echo", "tcp-echo"));
    spec.args = Some(strings(&["0.0.0.0:7"]));
    node.start(&spec).await.unwrap();
    let line = namespace.within(|| {
        let mut connection = loop {
            match TcpStream::connect((pod_ip(0), 7)) {
                Ok(connection) => break connection,
                Err(_) => std::thread::yield_now(),
            }
        };
        connection.write_all(b"inside\n").unwrap();
        let mut line = String::new();
        connection.read_to_string(&mut line).unwrap();
        line
    });
    assert_eq!(line, "inside\n");
    assert_eq!(log(&spec, Stream::Stdout), ["listening on 0.0.0.0:7"]);
    assert!(TcpStream::connect((pod_ip(0), 7)).is_err(), "it listens outside");
}

#[tokio::test]
async fn a_namespace_that_is_none_is_said() {
    let node = Node::new();
    let mut spec = node.container("server", "http");
    spec.sandbox.netns = Some("/nonexistent/netns".into());
    let error = node.runtime.ensure_sandbox(&spec.sandbox).await.unwrap_err().to_string();
    assert_eq!(error, "cannot enter the network namespace /nonexistent/netns");
    let file = node.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    spec.sandbox.netns = Some(file);
    let error = node.runtime.ensure_sandbox(&spec.sandbox).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot enter the network namespace"), "{error}");
}
