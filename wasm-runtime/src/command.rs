//! Runs a command to its exit.

use std::sync::Arc;

use wasmtime_wasi::I32Exit;

use crate::container::{Exit, Signals};
use crate::engine::Machine;
use crate::guest::{Environment, ModuleGuest};
use crate::memory::LimitExceeded;
use crate::program::Program;

/// Runs `program` until it exits, traps, or is asked to end.
pub(crate) async fn run(
    machine: Arc<Machine>,
    program: Arc<Program>,
    environment: Environment,
    signals: Signals,
) -> Exit {
    let Ok(_slot) = machine.slots.try_acquire() else {
        return Exit::not_started("all instances of this node are in use".into());
    };
    let outcome = machine.ticker.attend(execute(&machine, &program, &environment));
    tokio::select! {
        biased;
        () = signals.kill.cancelled() => Exit::killed(),
        () = signals.stop.cancelled() => Exit::terminated("interrupted: WebAssembly receives no signals"),
        outcome = outcome => exit(outcome, &environment),
    }
}

/// The exit code, or the error that ended the guest.
async fn execute(machine: &Machine, program: &Program, environment: &Environment) -> wasmtime::Result<i32> {
    match program {
        Program::Command(command) => {
            let mut store = environment.store(&machine.engine)?;
            let command = command.instantiate_async(&mut store).await?;
            let result = command.wasi_cli_run().call_run(&mut store).await?;
            Ok(i32::from(result.is_err()))
        }
        Program::Module(module) => start(machine, module, environment).await,
        Program::Server(_) => Err(wasmtime::Error::msg("a server is no command")),
    }
}

async fn start(
    machine: &Machine,
    module: &wasmtime::InstancePre<ModuleGuest>,
    environment: &Environment,
) -> wasmtime::Result<i32> {
    let mut store = environment.module_store(&machine.engine)?;
    let instance = module.instantiate_async(&mut store).await?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await?;
    Ok(0)
}

fn exit(outcome: wasmtime::Result<i32>, environment: &Environment) -> Exit {
    let error = match outcome {
        Ok(code) => return Exit::with_code(code),
        Err(error) => error,
    };
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Exit::with_code(*code & 0xff);
    }
    if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
        environment.log.say(&exceeded.to_string());
        return Exit::out_of_memory(exceeded.to_string());
    }
    environment.log.say(&format!("{error:?}"));
    Exit::trapped(error.root_cause().to_string())
}
