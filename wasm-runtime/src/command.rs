//! Runs a command to its exit.

use std::sync::Arc;

use wasmtime_wasi::I32Exit;

use crate::container::{Exit, Signals};
use crate::engine::Machine;
use crate::guest::{Environment, ModuleGuest, Role};
use crate::memory::LimitExceeded;
use crate::program::{Kind, Program, Server};
use crate::trap;

/// Runs `program` until it exits, traps, or is asked to end.
pub(crate) async fn run(
    machine: Arc<Machine>,
    program: Arc<Program>,
    environment: Arc<Environment>,
    signals: Signals,
) -> Exit {
    let Ok(_slot) = machine.slots.try_acquire_many(program.places) else {
        return Exit::not_started("all instances of this node are in use".into());
    };
    let executed = execute(&machine, &program, &environment, Role::Program);
    let outcome = machine.ticker.attend(environment.processor.count(executed));
    tokio::select! {
        biased;
        () = signals.kill.cancelled() => Exit::killed(),
        () = signals.stop.cancelled() => Exit::terminated("interrupted: WebAssembly receives no signals"),
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

/// The exit code, or the error that ended the guest.
pub(crate) async fn execute(
    machine: &Machine,
    program: &Program,
    environment: &Environment,
    role: Role,
) -> wasmtime::Result<i32> {
    let command = match &program.kind {
        Kind::Command(command) | Kind::Server(Server { command: Some(command), .. }) => command,
        Kind::Module(module) => return start(machine, module, environment, role).await,
        Kind::Server(Server { command: None, .. }) => {
            return Err(wasmtime::Error::msg("a server is no command"));
        }
    };
    let mut store = environment.store(&machine.engine, role)?;
    let command = command.instantiate_async(&mut store).await?;
    let result = command.wasi_cli_run().call_run(&mut store).await?;
    Ok(i32::from(result.is_err()))
}

async fn start(
    machine: &Machine,
    module: &wasmtime::InstancePre<ModuleGuest>,
    environment: &Environment,
    role: Role,
) -> wasmtime::Result<i32> {
    let mut store = environment.module_store(&machine.engine, role)?;
    let instance = module.instantiate_async(&mut store).await?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await?;
    Ok(0)
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
