//! Commands beside a container's program.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use wherry_runtime_api::{ContainerSpec, ExecSpec, Execution, Runtime as _, RuntimeError};

use crate::support::{Node, PATIENCE, address, get, strings};

const KINDS: [&str; 2] = ["cli-p1", "cli-p2"];

/// A container whose program waits.
async fn waiting(node: &Node, guest: &str) -> ContainerSpec {
    let mut spec = node.container(guest, guest);
    spec.args = Some(strings(&["sleep", "600000"]));
    spec.env = vec![("A".into(), "of the container".into())];
    node.start(&spec).await.unwrap();
    spec
}

fn command(words: &[&str]) -> ExecSpec {
    ExecSpec { command: strings(words), ..ExecSpec::default() }
}

async fn exec(node: &Node, spec: &ContainerSpec, words: &[&str]) -> Execution {
    node.runtime.exec(&spec.id, &command(words)).await.unwrap()
}

async fn refusal(node: &Node, spec: &ContainerSpec, words: &[&str]) -> String {
    node.runtime.exec(&spec.id, &command(words)).await.unwrap_err().to_string()
}

/// The exit code, and what was written to both streams.
async fn outcome(execution: Execution) -> (i32, String, String) {
    let Execution { mut stdout, stderr, ended, .. } = execution;
    let (mut output, mut errors) = (String::new(), String::new());
    let reading = async {
        stdout.read_to_string(&mut output).await.unwrap();
        if let Some(mut stderr) = stderr {
            stderr.read_to_string(&mut errors).await.unwrap();
        }
    };
    let (code, ()) = timeout(PATIENCE, async { tokio::join!(ended, reading) }).await.expect("it ends");
    (code.unwrap(), output, errors)
}

async fn is_free_again(node: &Node, free: usize) {
    let wait = async {
        while node.runtime.statistics().free_instances != free {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("its instance is given back");
}

#[tokio::test]
async fn a_command_has_its_own_arguments_and_the_environment_of_the_container() {
    let node = Node::new();
    let mut free = node.runtime.statistics().free_instances;
    for guest in KINDS {
        let spec = waiting(&node, guest).await;
        free -= 1;
        let ended =
            outcome(exec(&node, &spec, &["x", "args", "env", "A", "eprint", "no", "exit", "9"]).await).await;
        let words = r#"["x", "args", "env", "A", "eprint", "no", "exit", "9"]"#;
        assert_eq!(ended, (9, format!("{words}\nof the container\n"), "no\n".to_owned()), "{guest}");
        assert_eq!(outcome(exec(&node, &spec, &["x"]).await).await.0, 0);
        is_free_again(&node, free).await;
    }
}

#[tokio::test]
async fn a_terminal_echoes_edits_lines_and_is_interrupted() {
    let node = Node::new();
    let spec = waiting(&node, "cli-p2").await;
    let wanted = |words| ExecSpec { stdin: true, terminal: true, ..command(words) };
    let mut execution = node.runtime.exec(&spec.id, &wanted(&["x", "terminal", "copy"])).await.unwrap();
    execution.terminal.as_ref().expect("a terminal").resize(80, 24).unwrap();
    let mut stdin = execution.stdin.take().expect("an input");
    // A line with a letter taken back, then the end of the input.
    stdin.write_all(b"axb\x7f\x7f\x7fab\r\x04").await.unwrap();
    let (code, output, _) = outcome(execution).await;
    assert_eq!(code, 0, "{output:?}");
    assert!(output.contains("[true, true, true]\r\n"), "{output:?}");
    assert_eq!(output.matches("ab\r\n").count(), 2, "echoed and copied: {output:?}");

    let mut execution = node.runtime.exec(&spec.id, &wanted(&["x", "spin"])).await.unwrap();
    let mut stdin = execution.stdin.take().expect("an input");
    stdin.write_all(b"\x03").await.unwrap();
    assert_eq!(outcome(execution).await.0, 130);
}

#[tokio::test]
async fn a_command_ends_with_its_container_or_when_nobody_awaits_it() {
    let node = Node::new();
    let free = node.runtime.statistics().free_instances - 1;
    let spec = waiting(&node, "cli-p2").await;
    is_free_again(&node, free).await;
    let spinning = exec(&node, &spec, &["x", "spin"]).await;
    assert_eq!(node.runtime.statistics().free_instances, free - 1);
    drop(spinning);
    is_free_again(&node, free).await;
    let spinning = exec(&node, &spec, &["x", "spin"]).await;
    node.runtime.stop(&spec.id, Duration::from_secs(1)).await.unwrap();
    assert_eq!(outcome(spinning).await.0, 137);
    assert!(matches!(
        node.runtime.exec(&spec.id, &command(&["x"])).await,
        Err(RuntimeError::NotRunning(id)) if id == spec.id
    ));
}

#[tokio::test]
async fn a_command_shares_the_memory_limit_and_tells_why_it_failed() {
    let node = Node::new();
    let mut spec = node.container("cli", "cli-p2");
    spec.args = Some(strings(&["sleep", "600000"]));
    spec.resources.memory_limit_bytes = Some(16 << 20);
    node.start(&spec).await.unwrap();
    let (code, _, errors) = outcome(exec(&node, &spec, &["x", "alloc", "64"]).await).await;
    assert_eq!(code, 137, "{errors}");
    assert!(errors.contains("memory limit"), "{errors}");
    let (code, _, errors) = outcome(exec(&node, &spec, &["x", "panic"]).await).await;
    assert_eq!(code, 134, "{errors}");
    assert!(errors.contains("wasm trap: wasm `unreachable` instruction executed"), "{errors}");
    assert_eq!(outcome(exec(&node, &spec, &["x", "print", "ok"]).await).await.0, 0, "the container goes on");
}

#[tokio::test]
async fn a_server_runs_commands_if_its_image_has_them() {
    let node = Node::new();
    let both = node.container("both", "http");
    let mut server = node.container("server", "hello-wasm");
    server.ports = vec![8081];
    for spec in [&both, &server] {
        node.start(spec).await.unwrap();
    }
    assert_eq!(
        outcome(exec(&node, &both, &["x", "two", "words"]).await).await,
        (0, "two words\n".into(), String::new())
    );
    assert_eq!(outcome(exec(&node, &both, &["x"]).await).await.0, 1);
    assert_eq!(get(address(&both), "/").await.0, 200, "it is a server still");
    let error = refusal(&node, &server, &["x"]).await;
    assert_eq!(
        error,
        "exec failed: the component exports no wasi:cli/run, so nothing of it can run beside its server; export both"
    );
    let error = refusal(&node, &both, &[]).await;
    assert!(error.starts_with("exec failed: there is no command"), "{error}");
}
