//! Runs a command to its exit.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi::I32Exit;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::terminal::Side;

use crate::attach::Ends;
use crate::container::{Exit, Signals};
use crate::engine::Machine;
use crate::guest::{Environment, ModuleGuest, Role};
use crate::log_file::LogFile;
use crate::memory::LimitExceeded;
use crate::program::{Command, Kind, Program, Server};
use crate::streams::Streams;
use crate::{core_dumps, p3, trap};

/// Runs `program` until it exits, traps, or is asked to end.
pub(crate) async fn run(
    machine: Arc<Machine>,
    program: Arc<Program>,
    environment: Arc<Environment>,
    ends: Ends,
    signals: Signals,
) -> Exit {
    let Ok(_slot) = machine.slots.try_acquire_many(program.places) else {
        return Exit::not_started("all instances of this node are in use".into());
    };
    let run = async |role, interrupt| {
        let executed = execute(&machine, &program, &environment, role);
        end(machine.ticker.attend(environment.processor.count(executed)), &environment, &signals, interrupt)
            .await
    };
    match ends {
        Ends::Log { stdin } => run(Role::Program { stdin }, CancellationToken::new()).await,
        Ends::Terminal { streams: Streams { stdin, stdout, stderr, errors }, shown, interrupt } => {
            // What there is to say is logged; the terminal ends when nobody has the program's side of it.
            drop(errors);
            let arguments = Arc::clone(&environment.arguments);
            let role = Role::Streaming { arguments, stdin, stdout, stderr };
            tokio::join!(run(role, interrupt), show(shown, &environment.log)).0
        }
    }
}

/// Waits for the end of what runs, whatever ends it.
async fn end(
    outcome: impl Future<Output = wasmtime::Result<i32>>,
    environment: &Arc<Environment>,
    signals: &Signals,
    interrupt: CancellationToken,
) -> Exit {
    tokio::select! {
        biased;
        () = signals.kill.cancelled() => Exit::killed(),
        () = signals.stop.cancelled() => Exit::terminated("interrupted: WebAssembly receives no signals"),
        () = interrupt.cancelled() => Exit::interrupted(),
        outcome = outcome => {
            let Ended { mut exit, text } = Ended::from(outcome);
            if let Some(text) = text {
                environment.log.say(&text);
            }
            if exit.code != 0 && exit.message.is_empty() {
                exit.message = environment.remarks.last().unwrap_or_default();
            }
            exit
        }
    }
}

/// Logs what a terminal shows until the program has gone from it.
async fn show(mut shown: Side, log: &LogFile) {
    let Some(log) = log.stream(Stream::Stdout) else { return };
    let mut bytes = BytesMut::new();
    while let Ok(1..) = shown.read_buf(&mut bytes).await {
        if let Err(error) = log.push(&bytes.split()) {
            tracing::warn!(%error, "cannot write a container log");
        }
    }
}

/// The exit code, or the error that ended the guest.
pub(crate) async fn execute(
    machine: &Machine,
    program: &Program,
    environment: &Arc<Environment>,
    role: Role,
) -> wasmtime::Result<i32> {
    let command = match &program.kind {
        Kind::Command(command) | Kind::Server(Server { command: Some(command), .. }) => command,
        Kind::Module(module) => return start(machine, module, environment, role).await,
        Kind::Server(Server { command: None, .. }) => {
            return Err(wasmtime::Error::msg("a server is no command"));
        }
    };
    let mut store = environment.store(command.engine(), role)?;
    let run = async {
        match command {
            Command::P2(command) => {
                let command = command.instantiate_async(&mut store).await?;
                command.wasi_cli_run().call_run(&mut store).await
            }
            Command::P3(command) => {
                let command = command.instantiate_async(&mut store).await?;
                p3::run(&mut store, &command).await
            }
        }
    };
    match run.await {
        Ok(result) => Ok(i32::from(result.is_err())),
        Err(error) => Err(core_dumps::end(environment.core_dumps.as_ref(), store, (), error).await),
    }
}

async fn start(
    machine: &Machine,
    module: &wasmtime::InstancePre<ModuleGuest>,
    environment: &Arc<Environment>,
    role: Role,
) -> wasmtime::Result<i32> {
    let mut store = environment.module_store(&machine.engine, role)?;
    let run = async {
        let instance = module.instantiate_async(&mut store).await?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await
    };
    match run.await {
        Ok(()) => Ok(0),
        Err(error) => Err(core_dumps::end(environment.core_dumps.as_ref(), store, (), error).await),
    }
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// What there is to say about it.
    pub(crate) text: Option<String>,
}

impl From<wasmtime::Result<i32>> for Ended {
    fn from(outcome: wasmtime::Result<i32>) -> Self {
        let error = match outcome {
            Ok(code) => return Self { exit: Exit::with_code(code), text: None },
            Err(error) => error,
        };
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self { exit: Exit::with_code(*code & 0xff), text: None };
        }
        if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
            let text = exceeded.to_string();
            return Self { exit: Exit::out_of_memory(text.clone()), text: Some(text) };
        }
        let text = trap::explain(&error);
        Self { exit: Exit::trapped(text.clone()), text: Some(text) }
    }
}
