//! Commands beside the program of a container: other instances of its image, with arguments of their own.
//!
//! A command has the container's environment, files, network and memory limit, and takes one of the node's instances. It
//! ends with the container, and when nobody awaits its end any more.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wherry_runtime_api::{ExecSpec, Execution, RuntimeError};

use crate::command::{self, Ended};
use crate::container::{Container, Exit};
use crate::engine::Machine;
use crate::executor::Executor;
use crate::guest::{Environment, Role};
use crate::streams::{Client, Streams, pipes, terminal};

/// Runs a command.
pub(crate) fn exec(
    machine: &Arc<Machine>,
    container: &Arc<Container>,
    environment: Arc<Environment>,
    executor: &Executor,
    spec: &ExecSpec,
) -> Result<Execution, RuntimeError> {
    let refused = |reason: &str| RuntimeError::Failed { step: "exec".into(), reason: reason.to_owned() };
    if spec.command.is_empty() {
        return Err(refused(
            "there is no command: name the arguments, of which the first is the program's name",
        ));
    }
    if !container.program.has_command() {
        return Err(refused(
            "the component exports no wasi:cli/run, so nothing of it can run beside its server; export both",
        ));
    }
    let slot = Arc::clone(&machine.slots).try_acquire_many_owned(container.program.places);
    let slot = slot.map_err(|_| refused("all instances of this node are in use"))?;
    let interrupt = CancellationToken::new();
    let (streams, client) = if spec.terminal {
        let failed = |source: io::Error| refused(&format!("no terminal: {source}"));
        let (streams, screen) = terminal(interrupt.clone()).map_err(failed)?;
        let stdin = spec.stdin.then(|| screen.keys());
        let (stdout, terminal) = (Box::new(screen.shown()), Some(screen.window()));
        (streams, Client { stdin, stdout, stderr: None, terminal })
    } else {
        pipes(spec.stdin)
    };
    let (machine, container) = (Arc::clone(machine), Arc::clone(container));
    let arguments = spec.command.clone();
    let task = executor.spawn(async move {
        let code = run(&machine, &container, &environment, (arguments, streams), interrupt).await;
        drop(slot);
        code
    });
    let task = AbortOnDropHandle::new(task);
    let ended = async move {
        task.await.map_err(|error| RuntimeError::Failed { step: "exec".into(), reason: error.to_string() })
    };
    Ok(Execution {
        stdin: client.stdin,
        stdout: client.stdout,
        stderr: client.stderr,
        terminal: client.terminal,
        ended: Box::pin(ended),
    })
}

async fn run(
    machine: &Machine,
    container: &Container,
    environment: &Arc<Environment>,
    (arguments, streams): (Vec<String>, Streams),
    interrupt: CancellationToken,
) -> i32 {
    let Streams { stdin, stdout, stderr, mut errors } = streams;
    let role = Role::Streaming { arguments: arguments.into(), stdin, stdout, stderr };
    let executed = command::execute(machine, &container.program, environment, role);
    let command = machine.ticker.attend(environment.processor.count(executed));
    let ended = tokio::select! {
        biased;
        () = container.signals.kill.cancelled() => return Exit::killed().code,
        () = container.signals.ended.cancelled() => return Exit::killed().code,
        () = interrupt.cancelled() => return Exit::interrupted().code,
        outcome = command => Ended::from(outcome),
    };
    if let Some(text) = ended.text {
        // Whoever does not read any more does not want to know.
        errors.write_all(format!("{text}\n").as_bytes()).await.ok();
    }
    ended.exit.code
}
