//! Commands of WASI 0.3: `wasi:cli/run` components behave as those of 0.2 do.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ExecSpec, ExitReason, Mount, Runtime as _};

use crate::support::{Exited, Node, address, log, pod_ip, strings};

fn doing(node: &Node, name: &str, steps: &[&str]) -> ContainerSpec {
    ContainerSpec { args: Some(strings(steps)), ..node.container(name, "cli-p3") }
}

/// What it printed, once it ended well.
async fn printed(node: &Node, spec: &ContainerSpec) -> Vec<String> {
    let exited = node.run(spec).await;
    assert_eq!(exited.code, 0, "{exited:?}: {:?}", log(spec, Stream::Stderr));
    log(spec, Stream::Stdout)
}

#[tokio::test]
async fn arguments_environment_output_and_the_rest_are_as_elsewhere() {
    let node = Node::new();
    let steps = ["args", "env", "COLOR", "env", "NONE", "eprint", "error", "clocks", "random", "sleep", "1"];
    let mut spec = doing(&node, "all", &steps);
    spec.env = vec![("COLOR".into(), "blue".into())];
    // None of these reaches anybody, but it imports what does.
    let args = format!("{:?}", [&["all"], steps.as_slice()].concat());
    assert_eq!(printed(&node, &spec).await, [&args, "blue", "(unset)", "true", "true"]);
    assert_eq!(log(&spec, Stream::Stderr), ["error"]);
}

#[tokio::test]
async fn a_command_ends_with_its_code() {
    let node = Node::new();
    for (steps, code, message) in [
        (["exit", "0"], 0, ""),
        (["exit", "7"], 7, ""),
        (["exit", "255"], 255, ""),
        (["fail", ""], 1, ""),
        (["trap", ""], 134, "unreachable"),
    ] {
        let name = format!("{}-{code}", steps[0]);
        let Exited { code: ended, message: told, .. } = node.run(&doing(&node, &name, &steps)).await;
        assert_eq!(ended, code, "{steps:?}: {told}");
        assert!(told.contains(message), "{told}");
    }
}

#[tokio::test]
async fn stopping_interrupts_it() {
    let node = Node::new();
    for step in ["spin", "sleep"] {
        let spec = doing(&node, step, &[step, "60000"]);
        node.start(&spec).await.unwrap();
        node.runtime.stop(&spec.id, Duration::from_secs(20)).await.unwrap();
        let Exited { code, reason, .. } = node.exited(&spec.id).await;
        assert_eq!((code, reason), (143, ExitReason::Error), "{step}");
    }
}

#[tokio::test]
async fn mounts_are_its_directories() {
    let node = Node::new();
    let (page, data) = (node.dir.path().join("page"), node.dir.path().join("data"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(&page, "secret").unwrap();
    let mut spec = doing(&node, "files", &["write", "a", "text", "cat", "a", "directories"]);
    spec.mounts = vec![Mount::new(&data, "/data", false)];
    assert_eq!(printed(&node, &spec).await, ["text", "/data"]);
    assert_eq!(std::fs::read_to_string(data.join("a")).unwrap(), "text");
    std::os::unix::fs::symlink(&page, data.join("link")).unwrap();
    for (name, steps, told) in [
        ("up", ["cat", "../page", ""], "NotPermitted"),
        ("link", ["cat", "link", ""], "NotPermitted"),
        ("absolute", ["cat", "/etc/hostname", ""], "NotPermitted"),
    ] {
        let mut spec = doing(&node, name, &steps);
        spec.mounts = vec![Mount::new(&data, "/data", false)];
        assert_eq!(node.run(&spec).await.code, 1);
        let error = log(&spec, Stream::Stderr).join("\n");
        assert!(error.contains(told), "{name}: {error}");
    }
    let mut spec = doing(&node, "read-only", &["write", "b", "text"]);
    spec.mounts = vec![Mount::new(&data, "/data", true)];
    assert_eq!(node.run(&spec).await.code, 1);
    assert!(!data.join("b").exists());
}

#[tokio::test]
async fn commands_run_beside_it_with_input_and_output() {
    let node = Node::new();
    let spec = doing(&node, "waits", &["sleep", "60000"]);
    node.start(&spec).await.unwrap();
    let exec =
        ExecSpec { command: strings(&["program", "copy", "exit", "3"]), stdin: true, ..ExecSpec::default() };
    let mut running = node.runtime.exec(&spec.id, &exec).await.unwrap();
    let mut input = running.stdin.take().unwrap();
    input.write_all(b"to and fro").await.unwrap();
    input.shutdown().await.unwrap();
    drop(input);
    let mut output = String::new();
    running.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "to and fro");
    assert_eq!(running.ended.await.unwrap(), 3);
}

#[tokio::test]
async fn sockets_are_those_of_the_pod() {
    let node = Node::new();
    let server = doing(&node, "server", &["serve", "8080", "print", "served"]);
    node.start(&server).await.unwrap();
    let mut connection = connected(&server).await;
    connection.write_all(b"there and back").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut back = String::new();
    connection.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "there and back");
    assert_eq!(node.exited(&server.id).await.code, 0);
    assert_eq!(log(&server, Stream::Stdout), ["listening", "served"]);

    let listener = TcpListener::bind((pod_ip(2), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut client = doing(&node, "client", &["call", &at.ip().to_string(), &at.port().to_string(), "hi"]);
    client.sandbox.ip = pod_ip(1);
    let answered = async {
        let (mut stream, peer) = listener.accept().await.unwrap();
        let mut asked = [0; 2];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        peer.ip()
    };
    let (lines, peer) = tokio::join!(printed(&node, &client), answered);
    assert_eq!((lines, peer), (strings(&["answer"]), pod_ip(1)), "it comes from its pod");
}

/// A connection to a server that is about to listen.
async fn connected(spec: &ContainerSpec) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address(spec)).await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn datagrams_come_from_the_pod_and_to_it() {
    let node = Node::new();
    let socket = UdpSocket::bind((pod_ip(2), 0)).await.unwrap();
    let at = socket.local_addr().unwrap();
    let client = doing(&node, "client", &["send", &at.ip().to_string(), &at.port().to_string(), "hi"]);
    let answered = async {
        let mut asked = [0; 8];
        let (count, peer) = socket.recv_from(&mut asked).await.unwrap();
        socket.send_to(b"answer", peer).await.unwrap();
        (asked[..count].to_vec(), peer.ip())
    };
    let (lines, (asked, peer)) = tokio::join!(printed(&node, &client), answered);
    assert_eq!((lines, asked), (strings(&["answer"]), b"hi".to_vec()));
    assert_eq!(peer, client.sandbox.ip, "not from any address of the node");
}

#[tokio::test]
async fn what_is_out_of_reach_is_refused() {
    let node = Node::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for (name, steps, told) in [
        ("link", ["call", "169.254.169.254", "80", "x"], "AccessDenied"),
        ("link-datagram", ["send", "169.254.169.254", "53", "x"], "AccessDenied"),
        ("node", ["call", "127.0.0.1", &port, "x"], "ConnectionRefused"),
    ] {
        let spec = doing(&node, name, &steps);
        assert_eq!(node.run(&spec).await.code, 1);
        let error = log(&spec, Stream::Stderr).join("\n");
        assert!(error.contains(told), "{name}: {error}");
    }
    let mut spec = doing(&node, "name", &["resolve", "other.example"]);
    spec.annotations.insert("run.wherry.dev/egress".into(), "db.example.com".into());
    assert_eq!(node.run(&spec).await.code, 1);
    let error = log(&spec, Stream::Stderr).join("\n");
    assert!(error.contains("\"other.example\" is not one that the annotation"), "{error}");
    assert!(error.contains("AccessDenied"), "{error}");
}

#[tokio::test]
async fn sockets_are_counted_also_those_that_are_accepted() {
    let node = Node::with(|config| config.limits.sockets = 3);
    let spec = doing(&node, "made", &["sockets"]);
    let exited = node.run(&spec).await;
    assert_eq!((exited.code, log(&spec, Stream::Stdout)), (1, strings(&["3 opened"])));
    assert!(exited.message.contains("the limit of 3 open sockets was reached"), "{exited:?}");
    let spec = doing(&node, "accepted", &["accept", "8080"]);
    node.start(&spec).await.unwrap();
    let _two = [connected(&spec).await, connected(&spec).await];
    while log(&spec, Stream::Stdout).len() < 3 {
        tokio::task::yield_now().await;
    }
    let mut third = connected(&spec).await;
    assert!(third.read_u8().await.is_err(), "who comes when there are too many is sent away");
    assert_eq!(log(&spec, Stream::Stdout), ["listening", "1 accepted", "2 accepted"]);
}
