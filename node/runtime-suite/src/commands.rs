//! Commands beside a container's program, and attaching to the program itself.

use std::fs;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ExecSpec, Mount, Streams};

use crate::machine::{
    GOES_ON, Machine, PODS, exec, exited, log, outcome, running, start, until_logged, until_shown,
};

/// What a command writes, to which stream, and its code.
pub async fn output_errors_and_exit_code_arrive<M: Machine>(machine: &M) {
    let spec = running(machine).await;
    let ended = outcome(exec(machine, &spec, &["print", "out", "eprint", "err", "exit", "7"]).await).await;
    assert_eq!(ended, ("out\n".into(), "err\n".into(), 7));
    let (out, _, code) = outcome(exec(machine, &spec, &["copy"]).await).await;
    assert_eq!((out.as_str(), code), ("", 0), "without input there is none to wait for");
}

/// A command is in the container: its variables, its volumes.
pub async fn a_command_has_the_containers_environment_and_files<M: Machine>(machine: &M) {
    let data = machine.dir().join("data");
    fs::create_dir(&data).unwrap();
    let mut spec = machine.container(PODS[0], "main", &GOES_ON);
    spec.env = vec![("A".into(), "of the container".into())];
    spec.mounts = vec![Mount::new(&data, "/data", false)];
    start(machine, &spec).await;
    let steps = ["env", "A", "write", "/data/file", "kept\n", "cat", "/data/file"];
    let ended = outcome(exec(machine, &spec, &steps).await).await;
    assert_eq!(ended, ("of the container\nkept\n".into(), String::new(), 0));
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "kept\n");
}

/// Input goes to the command as it comes, and ends when it is dropped.
pub async fn input_reaches_a_command_until_it_is_closed<M: Machine>(machine: &M) {
    let spec = running(machine).await;
    let command = ExecSpec { command: machine.command(&["copy"]), stdin: true, terminal: false };
    let mut execution = machine.runtime().exec(&spec.id, &command).await.unwrap();
    let mut stdin = execution.stdin.take().expect("an input");
    let sent = "many words\n".repeat(20_000);
    let writing = async {
        stdin.write_all(sent.as_bytes()).await.unwrap();
        drop(stdin);
    };
    let ((out, _, code), ()) = tokio::join!(outcome(execution), writing);
    assert_eq!((code, out.len(), out == sent), (0, sent.len(), true));
}

/// A terminal echoes, joins the streams and ends lines as terminals do.
pub async fn a_terminal_carries_all_streams<M: Machine>(machine: &M) {
    let spec = running(machine).await;
    let steps = ["terminal", "eprint", "err", "copy"];
    let command = ExecSpec { command: machine.command(&steps), stdin: true, terminal: true };
    let mut execution = machine.runtime().exec(&spec.id, &command).await.unwrap();
    assert!(execution.stderr.is_none(), "a terminal has one output");
    execution.terminal.as_ref().expect("a terminal").resize(80, 24).unwrap();
    let before = until_shown(&mut execution, "err\r\n").await;
    assert!(before.contains("[true, true, true]\r\n"), "{before:?}");
    let mut stdin = execution.stdin.take().expect("an input");
    // A line, then the end of the input.
    stdin.write_all(b"typed\r\x04").await.unwrap();
    let (out, _, code) = outcome(execution).await;
    assert_eq!(code, 0, "{out:?}");
    assert_eq!(out.matches("typed\r\n").count(), 2, "echoed and copied: {out:?}");
}

/// A command does not outlive its container.
pub async fn a_command_ends_with_its_container<M: Machine>(machine: &M) {
    let spec = running(machine).await;
    let execution = exec(machine, &spec, &["sleep", "600000"]).await;
    machine.runtime().stop(&spec.id, Duration::ZERO).await.unwrap();
    assert_eq!(outcome(execution).await.2, 137);
}

/// Everybody who attaches gets the output from then on, and is told the end; there is no input where none is wanted.
pub async fn who_attaches_sees_what_is_written_from_then_on<M: Machine>(machine: &M) {
    let gate = machine.dir().join("gate");
    fs::create_dir(&gate).unwrap();
    let steps = ["print", "before", "await", "/gate/open", "print", "out", "eprint", "err"];
    let mut spec = machine.container(PODS[0], "main", &steps);
    spec.mounts = vec![Mount::new(&gate, "/gate", true)];
    start(machine, &spec).await;
    until_logged(&spec, "before").await;
    let one = machine.runtime().attach(&spec.id, true).await.unwrap();
    let two = machine.runtime().attach(&spec.id, false).await.unwrap();
    assert!(one.stdin.is_none() && two.stdin.is_none(), "the container takes no input");
    fs::write(gate.join("open"), "").unwrap();
    let (one, two) = tokio::join!(outcome(one), outcome(two));
    for ended in [one, two] {
        assert_eq!(ended, ("out\n".into(), "err\n".into(), 0));
    }
}

/// Input stays open for the next one who attaches.
pub async fn who_attaches_may_type_and_leave_it_to_the_next<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &["copy"]);
    spec.streams = Streams { stdin: true, ..Streams::default() };
    start(machine, &spec).await;
    for words in ["one\n", "two\n"] {
        let mut joined = machine.runtime().attach(&spec.id, true).await.unwrap();
        let mut stdin = joined.stdin.take().expect("an input");
        stdin.write_all(words.as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
        until_shown(&mut joined, words).await;
    }
    assert_eq!(log(&spec, Stream::Stdout), "one\ntwo\n");
}

/// Where input is for one only, it ends with that one.
pub async fn input_for_one_ends_with_that_one<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &["copy", "print", "end"]);
    spec.streams = Streams { stdin: true, stdin_once: true, terminal: false };
    start(machine, &spec).await;
    let mut one = machine.runtime().attach(&spec.id, true).await.unwrap();
    let mut stdin = one.stdin.take().expect("an input");
    stdin.write_all(b"all there is\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    assert_eq!(outcome(one).await, ("all there is\nend\n".into(), String::new(), 0));
}

/// A program's own terminal: what it shows is logged, and it may be typed at.
pub async fn the_terminal_of_a_program_may_be_joined<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &["terminal", "copy", "exit", "4"]);
    spec.streams = Streams { stdin: true, stdin_once: false, terminal: true };
    start(machine, &spec).await;
    until_logged(&spec, "[true, true, true]").await;
    let mut one = machine.runtime().attach(&spec.id, true).await.unwrap();
    assert!(one.stderr.is_none(), "a terminal has one output");
    one.terminal.as_ref().expect("a terminal").resize(97, 31).unwrap();
    let mut stdin = one.stdin.take().expect("an input");
    stdin.write_all(b"typed\r\x04").await.unwrap();
    stdin.flush().await.unwrap();
    let (out, _, code) = outcome(one).await;
    assert_eq!((code, out.matches("typed\r\n").count()), (0, 2), "echoed and copied: {out:?}");
    assert_eq!(exited(machine, &spec.id).await.code, 4);
    assert_eq!(log(&spec, Stream::Stdout).matches("typed").count(), 2);
}
