//! Attaching to a container's program, as the agent sees it: a connection to the container's shim.
//!
//! The agent sends the writing ends of two pipes (one, for a terminal), into which the shim copies what the program writes from
//! then on. The shim answers with the program's input or its terminal. The end of the connection, seen from either side, is the
//! end of it all.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use wherry_runtime_api::terminal::{Side, watched};
use wherry_runtime_api::{Execution, RuntimeError};
use wherry_shim::reports::{ATTACH, Attach, Report, send};

use crate::container::Container;
use crate::reports::receive;
use crate::state::ContainerDir;

/// Joins the program's streams; `stdin` says whether its input is wanted.
pub(crate) async fn attach(container: &Container, stdin: bool) -> Result<Execution, RuntimeError> {
    let terminal = container.record().spec.streams.terminal;
    join(container.dir(), terminal, stdin).await.map_err(|error| RuntimeError::Failed {
        step: format!("attach to container {}", container.id()),
        reason: error.to_string(),
    })
}

async fn join(dir: &ContainerDir, terminal: bool, stdin: bool) -> io::Result<Execution> {
    let shim = connect(dir)?;
    let (stdout, stdout_end) = io::pipe()?;
    let errors = if terminal { None } else { Some(io::pipe()?) };
    let (stderr, stderr_end) = errors.unzip();
    let ends: Vec<BorrowedFd<'_>> =
        std::iter::once(stdout_end.as_fd()).chain(stderr_end.as_ref().map(AsFd::as_fd)).collect();
    send(shim.as_fd(), Attach { stdin }.packet(), &ends)?;
    drop((stdout_end, stderr_end));
    let shim = watched(shim.into())?;
    let mut handed = match receive(&shim).await? {
        (Report::Started, handed) => handed.into_iter(),
        (Report::Failed { reason }, _) => return Err(io::Error::other(reason)),
        (Report::Exited { .. }, _) => return Err(io::Error::other("the program has ended")),
    };
    let mut execution = Execution {
        stdin: None,
        stdout: Box::new(pipe::Receiver::from_owned_fd(stdout.into())?),
        stderr: None,
        terminal: None,
        ended: Box::pin(end(shim)),
    };
    if let Some(stderr) = stderr {
        execution.stderr = Some(Box::new(pipe::Receiver::from_owned_fd(stderr.into())?));
    }
    match handed.next() {
        Some(handed) if terminal => {
            // The shim alone reads what the terminal shows.
            let side = Side::new(handed)?;
            execution.terminal = Some(Box::new(side.window()));
            execution.stdin = stdin.then(|| Box::new(side) as _);
        }
        Some(handed) => execution.stdin = Some(Box::new(pipe::Sender::from_owned_fd(handed)?)),
        None => {}
    }
    Ok(execution)
}

/// Connects to the shim. A data directory may have a longer path than a socket can, so it goes by a descriptor's name.
fn connect(dir: &ContainerDir) -> io::Result<UnixStream> {
    let directory = File::open(dir.path())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{ATTACH}", directory.as_raw_fd()))
}

/// Waits until the shim hangs up, which it does when the program has ended.
async fn end(shim: AsyncFd<OwnedFd>) -> Result<i32, RuntimeError> {
    while receive(&shim).await.is_ok() {}
    Ok(0)
}
