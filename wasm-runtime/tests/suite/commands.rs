//! Commands: wasip1 modules and `wasi:cli` components behave alike.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::support::{Exited, Node, PATIENCE, address, get, guest_file, image, log, pod_ip, strings};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ContainerState, ExitReason, ImageContent, Mount, Runtime as _};

const KINDS: [&str; 2] = ["cli-p1", "cli-p2"];

fn with_args(node: &Node, guest: &str, args: &[&str]) -> ContainerSpec {
    ContainerSpec { args: Some(strings(args)), ..node.container(guest, guest) }
}

#[tokio::test]
async fn arguments_come_from_the_spec_else_from_the_image() {
    let node = Node::new();
    for guest in KINDS {
        let mut spec = with_args(&node, guest, &["args"]);
        node.run(&spec).await;
        assert_eq!(log(&spec, Stream::Stdout), [format!("[{guest:?}, \"args\"]")], "the container's name");

        let ImageContent::Wasm { entrypoint, .. } = &mut spec.image else { unreachable!() };
        *entrypoint = vec!["/app.wasm".into(), "args".into()];
        spec.args = None;
        spec.id.attempt = 1;
        node.run(&spec).await;
        assert_eq!(log(&spec, Stream::Stdout)[1], "[\"/app.wasm\", \"args\"]", "the image's entrypoint");

        spec.command = Some(strings(&["program"]));
        spec.args = Some(strings(&["args"]));
        spec.id.attempt = 2;
        node.run(&spec).await;
        assert_eq!(log(&spec, Stream::Stdout)[2], "[\"program\", \"args\"]", "the command");
    }
}

#[tokio::test]
async fn the_last_of_equal_variables_wins() {
    let node = Node::new();
    for guest in KINDS {
        let mut spec = with_args(&node, guest, &["env", "A", "env", "B", "env", "HOSTNAME", "env", "PATH"]);
        let ImageContent::Wasm { env, .. } = &mut spec.image else { unreachable!() };
        *env = vec!["A=image".into(), "B=image=b".into()];
        spec.env = vec![("A".into(), "first".into()), ("A".into(), "last".into())];
        node.run(&spec).await;
        assert_eq!(log(&spec, Stream::Stdout), ["last", "image=b", &format!("host-{guest}"), "(unset)"]);
    }
}

fn mount(host_path: &Path, container_path: &str, read_only: bool) -> Mount {
    Mount::new(host_path, container_path, read_only)
}

#[tokio::test]
async fn mounts_are_all_the_files_there_are() {
    let node = Node::new();
    let (data, config) = (node.dir.path().join("data"), node.dir.path().join("config"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("setting"), "on\n").unwrap();
    for (attempt, guest) in KINDS.into_iter().enumerate() {
        let run = async |name: &str, args: &[&str]| {
            let mut spec = with_args(&node, guest, args);
            spec.id.name = format!("{name}-{attempt}");
            spec.log_path = node.dir.path().join(&spec.id.name);
            spec.mounts = vec![mount(&data, "/data", false), mount(&config, "/etc/app", true)];
            let exited = node.run(&spec).await;
            let mut text = log(&spec, Stream::Stdout);
            text.extend(log(&spec, Stream::Stderr));
            (exited.code, text.join("\n"))
        };
        assert_eq!(run("read", &["cat", "/etc/app/setting"]).await, (0, "on".into()), "{guest}");
        assert_eq!(run("write", &["write", "/data/out", guest]).await.0, 0);
        assert_eq!(std::fs::read_to_string(data.join("out")).unwrap(), guest);
        let (code, text) = run("read-only", &["write", "/etc/app/setting", "off"]).await;
        assert_eq!(code, 1, "{text}");
        assert_eq!(run("move", &["rename", "/etc/app/setting", "/data/setting"]).await.0, 1);
        assert_eq!(run("outside", &["cat", "/etc/passwd"]).await.0, 1);
        assert_eq!(run("above", &["cat", "/data/../../../../../../etc/passwd"]).await.0, 1);
    }
    assert_eq!(std::fs::read_to_string(config.join("setting")).unwrap(), "on\n");
}

#[tokio::test]
async fn stopping_interrupts_an_endless_loop() {
    let node = Node::new();
    for guest in KINDS {
        let spec = with_args(&node, guest, &["spin"]);
        node.start(&spec).await.unwrap();
        assert!(matches!(node.state(&spec.id).await, Some(ContainerState::Running { .. })));
        // A minute of grace is not waited for: wasm has no signal handlers that could need it.
        let stop = node.runtime.stop(&spec.id, Duration::from_mins(1));
        tokio::time::timeout(PATIENCE, stop).await.expect("stopped in time").unwrap();
        let Exited { code, reason, .. } = node.exited(&spec.id).await;
        assert_eq!((code, reason), (143, ExitReason::Error), "{guest}");
    }
}

#[tokio::test]
async fn endless_loops_leave_the_processor_to_others() {
    let node = Node::new();
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut spins = Vec::new();
    for n in 0..=cores {
        let mut spec = with_args(&node, "cli-p2", &["spin"]);
        spec.id.name = format!("spin-{n}");
        node.start(&spec).await.unwrap();
        spins.push(spec.id);
    }
    let served = node.container("served", "hello-wasm");
    node.start(&served).await.unwrap();
    assert_eq!(get(address(&served), "/").await.0, 200);
    for id in spins {
        assert!(matches!(node.state(&id).await, Some(ContainerState::Running { .. })));
        node.runtime.remove(&id).await.unwrap();
    }
}

#[tokio::test]
async fn the_memory_limit_kills() {
    let node = Node::new();
    for guest in KINDS {
        let mut spec = with_args(&node, guest, &["alloc", "8", "alloc", "64"]);
        spec.resources.memory_limit_bytes = Some(32 << 20);
        let Exited { code, reason, message } = node.run(&spec).await;
        assert_eq!((code, reason), (137, ExitReason::OOMKilled), "{guest}: {message}");
        assert!(message.starts_with("the memory limit of 33554432 bytes was exceeded"), "{message}");
        assert_eq!(log(&spec, Stream::Stdout).len(), 1, "what fits is allowed");
        assert_eq!(log(&spec, Stream::Stderr), [message]);
    }
}

#[tokio::test]
async fn a_trap_is_told_in_status_and_log() {
    let node = Node::new();
    for guest in KINDS {
        let spec = with_args(&node, guest, &["panic"]);
        let Exited { code, reason, message } = node.run(&spec).await;
        assert_eq!((code, reason), (134, ExitReason::Error));
        assert!(message.starts_with("wasm trap: wasm `unreachable` instruction executed\n"), "{message}");
        let text = log(&spec, Stream::Stderr).join("\n");
        assert!(text.contains("asked to") && text.contains(&message), "{text}");
    }
}

#[tokio::test]
async fn a_tcp_server_that_binds_every_address_is_held_to_the_pods() {
    let node = Node::new();
    let mut spec = node.container("echo", "tcp-echo");
    let free = std::net::TcpListener::bind((pod_ip(0), 0)).unwrap().local_addr().unwrap();
    spec.args = Some(strings(&[&format!("0.0.0.0:{}", free.port())]));
    node.start(&spec).await.unwrap();
    let line = tokio::task::spawn_blocking(move || {
        let mut connection = loop {
            match TcpStream::connect(free) {
                Ok(connection) => break connection,
                Err(_) => std::thread::yield_now(),
            }
        };
        connection.write_all(b"hello\n").unwrap();
        let mut line = String::new();
        connection.read_to_string(&mut line).unwrap();
        line
    });
    assert_eq!(tokio::time::timeout(PATIENCE, line).await.unwrap().unwrap(), "hello\n");
    let elsewhere = std::net::SocketAddr::new(pod_ip(1), free.port());
    assert!(TcpStream::connect(elsewhere).is_err(), "it listens beyond its pod");
    assert_eq!(log(&spec, Stream::Stdout), [format!("listening on {free}")]);
    node.runtime.stop(&spec.id, Duration::ZERO).await.unwrap();
    assert!(TcpStream::connect(free).is_err(), "it listens after its end");
}

#[tokio::test]
async fn a_tcp_server_cannot_bind_a_foreign_address() {
    let node = Node::new();
    let mut spec = node.container("echo", "tcp-echo");
    spec.args = Some(strings(&[&format!("{}:0", pod_ip(1))]));
    assert_eq!(node.run(&spec).await.code, 1);
    let text = log(&spec, Stream::Stderr).join("\n");
    assert!(text.contains("PermissionDenied"), "{text}");
}

#[tokio::test]
async fn images_are_told_apart_by_content_not_by_name() {
    let node = Node::new();
    let one = with_args(&node, "cli-p1", &["exit", "3"]);
    let two =
        ContainerSpec { image: image(&guest_file("cli-p2")), ..with_args(&node, "cli-p2", &["exit", "4"]) };
    assert_eq!((node.run(&one).await.code, node.run(&two).await.code), (3, 4));
}
