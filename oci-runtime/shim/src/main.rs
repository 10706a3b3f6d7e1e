//! The shim: a small process per container that outlives the agent.
//!
//! ```text
//! agent --spawns--> shim: own session and cgroup, adopts orphans
//!   mounts the root file system in a mount namespace of its own, runs `runc run --detach` in it, leaves it
//!   running.json --> copies output to the log --> the program ends --> exit.json --> the shim ends
//! ```
//!
//! Whoever attaches to the program gets a copy of its output and the means to write to it ([`attached`]).
//! A command that runs beside the container's program has a shim of its own ([`exec`]), which does not outlive the agent.
//! The processes of a pod that shares them have a first one that is not a container's ([`pause`]). A pod that has users for itself
//! has namespaces that belong to these ([`users`]).
//!
//! # Guarantees
//! - A single thread, no async runtime; killing or restarting the agent does not disturb it.
//! - `exit.json` exists before the program's process is reaped: as long as it does not, the recorded pid is the
//!   container's.
//! - The root file system is mounted in no namespace but the container's own once it runs, so that it
//!   disappears with the container however that ends.
//! - The writing end of the FIFO `alive` is the shim's standard output: a byte says "look again", its closing
//!   says that the shim is gone, for whatever reason.

mod attached;
mod copies;
mod ended;
mod exec;
mod idmap;
mod launch;
mod mounts;
mod output;
mod pause;
mod runtime;
mod users;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use jiff::Timestamp;
use nix::sys::signal::{SigSet, Signal};
use rustix::process::Pid;
use wherry_runtime_api::ExitReason;
use wherry_shim::START_ERROR_CODE;
use wherry_shim::cgroup::Cgroups;
use wherry_shim::records::{Exit, Running};
use wherry_shim::task::{Container, Task};

use ended::exit_code;
use output::Output;

/// What went wrong, in words; a shim has nobody to handle an error but its log.
type Failure = String;

fn main() -> ExitCode {
    let ran = Task::from_args(std::env::args_os().skip(1)).and_then(|task| match task {
        Task::Container(container) => run(&container),
        Task::Command(command) => {
            exec::run(&command);
            Ok(())
        }
        Task::Pause(pause) => pause::start(&pause),
        Task::PauseAsUsers(task) => pause::as_users(&task),
        Task::FirstProcess => pause::first_process(),
        Task::Users(task) => users::make(&task),
        Task::AsUsers => users::live(),
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Standard error is the shim's log; with nowhere to write there is nobody to tell.
            writeln!(io::stderr(), "{reason}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(container: &Container) -> Result<(), Failure> {
    let cgroups = detach(container)?;
    let exit = match launch::launch(container) {
        Ok(launched) => supervise(container, &cgroups, launched)?,
        Err(reason) => {
            // An OCI runtime that was killed leaves what was to become the program. The agent removes what cannot be ended here.
            cgroups.kill(&container.cgroup).ok();
            Exit {
                started_at: None,
                finished_at: Timestamp::now(),
                code: START_ERROR_CODE,
                reason: ExitReason::StartError,
                message: reason,
            }
        }
    };
    Ok(exit.write(&container.dir)?)
}

/// Leaves the agent's session, signals and cgroup, and becomes the parent of orphans.
fn detach(container: &Container) -> Result<Cgroups, Failure> {
    adopt()?;
    let cgroups = Cgroups::detect()?;
    cgroups.join(&container.shim_cgroup)?;
    Ok(cgroups)
}

/// Leaves the agent's session and signals, and becomes the parent of orphans.
fn adopt() -> Result<(), Failure> {
    // Fails only for a process group leader, which has no session of the agent to leave.
    rustix::process::setsid().ok();
    let mut ignored = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGPIPE] {
        ignored.add(signal);
    }
    ignored.thread_block().map_err(|error| format!("cannot block signals: {error}"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("cannot adopt orphans: {error}"))?;
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    Ok(())
}

/// A container that was started.
struct Launched {
    pid: Pid,
    process: OwnedFd,
    output: Output,
    started_at: Timestamp,
}

fn supervise(container: &Container, cgroups: &Cgroups, mut launched: Launched) -> Result<Exit, Failure> {
    let running = Running { pid: launched.pid.as_raw_nonzero().get(), started_at: launched.started_at };
    running.write(&container.dir)?;
    // Without an agent there is no reader; the next one reads the files.
    io::stdout().write_all(b"r").and_then(|()| io::stdout().flush()).ok();
    launched
        .output
        .copy_until_exit(&launched.process)
        .map_err(|error| format!("cannot wait for output: {error}"))?;
    let code = exit_code(launched.pid)?;
    if container.leaves_processes {
        // The kernel ends what the program left only with a namespace of its own.
        cgroups.kill(&container.cgroup)?;
    }
    let reason = match code {
        0 => ExitReason::Completed,
        _ if cgroups.oom_kills(&container.cgroup) > 0 => ExitReason::OOMKilled,
        _ => ExitReason::Error,
    };
    let started_at = Some(launched.started_at);
    Ok(Exit { started_at, finished_at: Timestamp::now(), code, reason, message: String::new() })
}
