//! Guests in other languages than Rust, as their own tools make them.

use http_body_util::BodyExt as _;
use hyper::Request;
use tokio::time::timeout;
use wherry_runtime_api::Mount;
use wherry_runtime_api::logs::Stream;

use crate::support::{Node, PATIENCE, address, client, log, strings};

/// Modules of wasip1: arguments, variables, files, both streams, the exit code.
async fn command_in(language: &str, guest: &str) {
    let node = Node::new();
    let volume = node.dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "of a volume\n").unwrap();
    let mut spec = node.container("command", guest);
    spec.args = Some(strings(&["42", "/data/file", "one", "two words"]));
    spec.env = vec![("COLOR".into(), "blue".into())];
    spec.mounts = vec![Mount::new(&volume, "/data", true)];
    let exited = node.run(&spec).await;
    assert_eq!(exited.code, 42, "{exited:?}: {:?}", log(&spec, Stream::Stderr));
    assert_eq!(log(&spec, Stream::Stdout), ["one", "two words", "COLOR=blue", "of a volume"]);
    assert_eq!(log(&spec, Stream::Stderr), [format!("written in {language}")]);
}

/// Components of megabytes, whose interpreters come with them.
async fn server_in(language: &str, guest: &str) {
    let node = Node::new();
    let spec = node.container("server", guest);
    node.start(&spec).await.unwrap();
    let post = async |path: &str| {
        let uri = format!("http://{}{path}", address(&spec));
        let request = Request::post(uri).body(bytes::Bytes::from_static(b"the body").into()).unwrap();
        let answer = timeout(PATIENCE, client().request(request)).await.unwrap().unwrap();
        let (head, body) = answer.into_parts();
        (head, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    let (head, body) = post("/a/path").await;
    assert_eq!((head.status.as_u16(), &*body), (200, &*format!("{language} POST /a/path the body")));
    assert_eq!(head.headers["x-language"], language);
    assert_eq!(post("/trap").await.0.status.as_u16(), 500);
    let told = log(&spec, Stream::Stderr).join("\n");
    assert!(told.contains("asked for"), "{told}");
    assert_eq!(post("/again").await.0.status.as_u16(), 200);
}

#[tokio::test]
async fn a_command_in_c() {
    command_in("C", "languages/command-c").await;
}

#[tokio::test]
async fn a_command_in_go() {
    command_in("Go", "languages/command-go").await;
}

#[tokio::test]
async fn a_server_in_python() {
    server_in("Python", "languages/server-python").await;
}

#[tokio::test]
async fn a_server_in_javascript() {
    server_in("JavaScript", "languages/server-javascript").await;
}
