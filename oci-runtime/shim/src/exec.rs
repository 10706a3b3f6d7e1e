//! The shim of one command beside a container's program.
//!
//! ```text
//! agent --socket--> shim: runs `runc exec --detach`, adopts the command
//!   Started, with the command's streams --> the command ends --> Exited --> the shim ends
//!                                      \--> the agent's end closes --> the command is killed
//! ```
//!
//! The socket is the shim's standard input. Streams are handed over, not copied.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, pidfd_send_signal};
use wherry_shim::cgroup::Cgroups;
use wherry_shim::reports::Report;
use wherry_shim::task::Command;

use crate::ended::exit_code;
use crate::{Failure, adopt, launch, runtime};

/// Where the OCI runtime writes the command's process id, below the command's directory.
const PID: &str = "pid";
/// Where the OCI runtime complains, below the working directory, too.
const LOG: &str = "log";

/// Runs the command until it ends, or the agent is gone.
pub(super) fn run(command: &Command) {
    let socket = io::stdin();
    let report = match start(command) {
        Ok(started) => {
            let streams: Vec<BorrowedFd<'_>> = started.streams.iter().map(AsFd::as_fd).collect();
            let told = Report::Started.send(socket.as_fd(), &streams);
            drop(streams);
            drop(started.streams);
            attend(socket.as_fd(), told.is_ok(), started.pid, &started.process)
        }
        Err(reason) => Report::Failed { reason },
    };
    // An agent that is gone does not want to know.
    report.send(socket.as_fd(), &[]).ok();
}

/// A command that runs, with the agent's ends of its streams.
struct Started {
    pid: Pid,
    process: OwnedFd,
    streams: Vec<OwnedFd>,
}

fn start(task: &Command) -> Result<Started, Failure> {
    adopt()?;
    Cgroups::detect()?.enter(&task.shim_cgroup)?;
    std::env::set_current_dir(&task.dir)
        .map_err(|error| format!("cannot enter {}: {error}", task.dir.display()))?;
    let streams = if task.terminal {
        vec![runtime::on_terminal(command(task), &task.runtime, Path::new(LOG))?]
    } else {
        on_pipes(task)?
    };
    let (pid, process) = launch::process(&task.dir.join(PID))?;
    Ok(Started { pid, process, streams })
}

fn command(task: &Command) -> process::Command {
    let mut command = process::Command::new(&task.runtime.binary);
    command.arg("--root").arg(&task.runtime.root);
    // Its log is apart, so that its complaint is a sentence alone.
    command.args(["--log", LOG]);
    command.args(["exec", "--detach", "--process", "process.json", "--pid-file", PID]);
    command
}

fn on_pipes(task: &Command) -> Result<Vec<OwnedFd>, Failure> {
    let told = |error: io::Error| format!("cannot create a pipe: {error}");
    let (stdin_end, stdin) = io::pipe().map_err(told)?;
    let (stdout, stdout_end) = io::pipe().map_err(told)?;
    let (stderr, stderr_end) = io::pipe().map_err(told)?;
    runtime::give(task.first_id, [stdout_end.as_fd(), stderr_end.as_fd()])?;
    let mut command = command(task);
    command.arg(&task.runtime.id).stdin(stdin_end).stdout(stdout_end).stderr(stderr_end);
    let status = command.status();
    drop(command);
    runtime::check(&task.runtime, status, &stderr, Path::new(LOG))?;
    Ok(vec![stdout.into(), stderr.into(), stdin.into()])
}

/// Waits for the end of the command, and ends it when the agent is gone.
fn attend(socket: BorrowedFd<'_>, told: bool, pid: Pid, process: &OwnedFd) -> Report {
    let ended = || if told { wait(socket, process) } else { Ok(false) };
    if !ended().unwrap_or(false) {
        // A process that has ended meanwhile takes no signal.
        pidfd_send_signal(process, Signal::KILL).ok();
    }
    match exit_code(pid) {
        Ok(code) => Report::Exited { code },
        Err(reason) => Report::Failed { reason },
    }
}

/// True once the command has ended, false once the agent is gone.
fn wait(socket: BorrowedFd<'_>, process: &OwnedFd) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(process, PollFlags::IN), PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        if !fds[0].revents().is_empty() {
            return Ok(true);
        }
        if !fds[1].revents().is_empty() {
            return Ok(false);
        }
    }
}
