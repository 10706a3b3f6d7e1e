//! Commands beside a container's program.

use std::fs;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use wherry_runtime_api::{ContainerSpec, ExecSpec, Execution, Runtime, RuntimeError};

use crate::node::{Node, PATIENCE};

fn command(words: &[&str]) -> ExecSpec {
    ExecSpec { command: words.iter().map(ToString::to_string).collect(), ..ExecSpec::default() }
}

fn script(text: &str) -> ExecSpec {
    command(&["sh", "-c", text])
}

async fn sleeper(node: &Node) -> ContainerSpec {
    let spec = node.script("main", "echo ready; exec sleep 1000");
    node.run(&spec).await;
    spec
}

pub(crate) async fn all(mut output: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, output.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// Output, errors and exit code of a command without input.
async fn outcome(node: &Node, container: &ContainerSpec, spec: &ExecSpec) -> (String, String, i32) {
    let running = node.runtime.exec(&container.id, spec).await.unwrap();
    let (out, err, code) = tokio::join!(all(running.stdout), all(running.stderr.unwrap()), running.ended);
    (out, err, code.unwrap())
}

#[tokio::test]
async fn output_errors_and_exit_code_arrive() {
    let node = Node::new().await;
    let main = sleeper(&node).await;
    let (out, err, code) = outcome(&node, &main, &script("echo out; echo err >&2; exit 7")).await;
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", 7));
    let (_, _, code) = outcome(&node, &main, &script("kill -9 $$")).await;
    assert_eq!(code, 137);
    let (out, _, _) = outcome(&node, &main, &script("cat")).await;
    assert_eq!(out, "", "without input there is none to wait for");
    node.finish().await;
}

#[tokio::test]
async fn a_command_runs_as_the_containers_user_with_its_environment_and_capabilities() {
    let node = Node::new().await;
    let mut main = node.script("main", "exec sleep 1000");
    main.env = vec![("ASKED".into(), "yes".into())];
    main.working_dir = Some("/tmp".into());
    main.user.uid = Some(33);
    main.user.drop_capabilities = vec!["ALL".into()];
    main.user.add_capabilities = vec!["CHOWN".into()];
    node.run(&main).await;
    let text = "echo $FROM $ASKED $(pwd); id -u; cat /proc/self/status; cat /proc/self/cgroup";
    let (out, _, _) = outcome(&node, &main, &script(text)).await;
    assert!(out.starts_with("image yes /tmp\n33\n"), "{out}");
    assert!(out.contains("CapBnd:\t0000000000000001\n"), "{out}");
    node.finish().await;
}

pub(crate) async fn until_shown(running: &mut Execution, text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(running.stdout.read_buf(&mut seen).await.unwrap(), 0, "the terminal ended");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{text} was never shown"));
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn a_terminal_echoes_has_a_size_and_ends_with_its_shell() {
    let node = Node::new().await;
    let main = sleeper(&node).await;
    let spec = ExecSpec { stdin: true, terminal: true, ..command(&["sh"]) };
    let mut running = node.runtime.exec(&main.id, &spec).await.unwrap();
    assert!(running.stderr.is_none());
    running.terminal.as_ref().unwrap().resize(97, 31).unwrap();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(b"stty size; echo term:$TERM\n").await.unwrap();
    let shown = until_shown(&mut running, "term:xterm").await;
    assert!(shown.contains("31 97"), "{shown}");
    stdin.write_all(b"exit 4\n").await.unwrap();
    let (_, code) = tokio::join!(all(&mut running.stdout), running.ended);
    assert_eq!(code.unwrap(), 4);
    node.finish().await;
}

#[tokio::test]
async fn a_command_that_cannot_start_is_refused_with_the_reason() {
    let node = Node::new().await;
    let main = sleeper(&node).await;
    for spec in [command(&["no-such"]), ExecSpec { terminal: true, ..command(&["no-such"]) }] {
        let error = node.runtime.exec(&main.id, &spec).await.unwrap_err().to_string();
        assert!(error.contains("\"no-such\": executable file not found in $PATH"), "{error}");
    }
    let stranger = node.id("stranger");
    assert!(matches!(
        node.runtime.exec(&stranger, &script("true")).await.unwrap_err(),
        RuntimeError::NotFound(id) if id == stranger
    ));
    node.runtime.stop(&main.id, Duration::ZERO).await.unwrap();
    let error = node.runtime.exec(&main.id, &script("true")).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotRunning(_)), "{error}");
    node.finish().await;
}

/// Waits until no process has these words on its command line.
async fn until_gone(words: &str) {
    until(|| !processes().iter().any(|line| line.contains(words))).await;
}

async fn until(is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never came to that");
}

fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

#[tokio::test]
async fn a_command_nobody_waits_for_is_killed() {
    let node = Node::new().await;
    let main = sleeper(&node).await;
    for (words, terminal) in [("sleep 424201", false), ("sleep 424202", true)] {
        let words: Vec<&str> = words.split(' ').collect();
        let spec = ExecSpec { stdin: true, terminal, ..command(&words) };
        let running = node.runtime.exec(&main.id, &spec).await.unwrap();
        // The OCI runtime becomes the command a moment after it says that it runs.
        until(|| processes().iter().any(|line| line.contains(words[1]))).await;
        drop(running);
        until_gone(words[1]).await;
    }
    // The container's own shim is all that is left.
    until(|| node.shim_processes(&main.id).len() == 1).await;
    node.finish().await;
}
