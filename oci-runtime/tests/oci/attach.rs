//! Attaching to a container's program: its output from then on, its input, its terminal.

use tokio::io::AsyncWriteExt;
use wherry_runtime_api::{ContainerSpec, ExecSpec, Runtime, Streams};

use crate::exec::{all, until_shown};
use crate::node::Node;

fn with_streams(node: &Node, script: &str, streams: Streams) -> ContainerSpec {
    ContainerSpec { streams, ..node.script("main", script) }
}

#[tokio::test]
async fn input_stays_open_for_the_next_one_also_after_a_restart_of_the_agent() {
    let node = Node::new().await;
    let streams = Streams { stdin: true, ..Streams::default() };
    let main = with_streams(&node, "while read line; do echo got $line; done; echo end", streams);
    node.run(&main).await;
    let mut first = node.runtime.attach(&main.id, true).await.unwrap();
    first.stdin.as_mut().unwrap().write_all(b"one\n").await.unwrap();
    until_shown(&mut first, "got one").await;
    drop(first);
    let node = node.restart();
    let mut second = node.runtime.attach(&main.id, true).await.unwrap();
    second.stdin.as_mut().unwrap().write_all(b"two\n").await.unwrap();
    until_shown(&mut second, "got two").await;
    assert_eq!(node.log("main"), ["stdout F got one", "stdout F got two"]);
    node.finish().await;
}

#[tokio::test]
async fn a_terminal_shows_what_has_no_end_of_line_and_takes_sizes() {
    let node = Node::new().await;
    let streams = Streams { stdin: true, stdin_once: false, terminal: true };
    let main = with_streams(&node, "echo term:$TERM; exec sh", streams);
    node.run(&main).await;
    node.until_logged("main", "term:xterm").await;
    let mut one = node.runtime.attach(&main.id, true).await.unwrap();
    assert!(one.stderr.is_none());
    one.terminal.as_ref().unwrap().resize(97, 31).unwrap();
    let mut stdin = one.stdin.take().unwrap();
    stdin.write_all(b"stty size; printf 'no end'\n").await.unwrap();
    let shown = until_shown(&mut one, "\r\nno end").await;
    assert!(shown.contains("31 97"), "{shown}");
    stdin.write_all(b"exit\n").await.unwrap();
    let (_, code) = tokio::join!(all(&mut one.stdout), one.ended);
    assert_eq!(code.unwrap(), 0);
    node.until_exited(&main.id).await;
    node.finish().await;
}

#[tokio::test]
async fn one_who_does_not_read_is_left_behind() {
    let node = Node::new().await;
    let script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; head -c 300000 /dev/zero; echo; echo done";
    let main = with_streams(&node, script, Streams::default());
    node.run(&main).await;
    let lazy = node.runtime.attach(&main.id, false).await.unwrap();
    let touch = ExecSpec { command: ["touch", "/tmp/go"].map(str::to_owned).to_vec(), ..ExecSpec::default() };
    node.runtime.exec(&main.id, &touch).await.unwrap().ended.await.unwrap();
    node.until_exited(&main.id).await;
    assert!(node.log("main").iter().any(|line| line == "stdout F done"));
    drop(lazy);
    node.finish().await;
}

#[tokio::test]
async fn a_container_may_see_the_processes_of_another() {
    let node = Node::new().await;
    let main = node.script("main", "echo ready; exec sleep 424204");
    node.run(&main).await;
    let peer = ContainerSpec {
        processes_of: Some("main".to_owned()),
        ..node.script("peer", "cat /proc/1/cmdline; echo")
    };
    let lines = node.output(&peer).await;
    assert!(lines[0].contains("424204"), "{lines:?}");
    let lost = ContainerSpec { processes_of: Some("nobody".to_owned()), ..node.script("lost", "true") };
    let error = node.runtime.create(&lost).await.unwrap_err().to_string();
    assert!(error.contains("container \"nobody\", whose processes it is to see, does not run"), "{error}");
    node.finish().await;
}
