//! Running the OCI runtime to its end: on pipes or on a terminal, and what it says if it fails.

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{Gid, Uid, fchown};
use wherry_shim::reports::take;
use wherry_shim::tail;
use wherry_shim::task::OciRuntime;

use crate::Failure;

/// Where the terminal's descriptor is handed over, below the working directory.
const CONSOLE: &str = "console";

/// Runs a command of the OCI runtime, which lacks only the container's id, and returns the terminal it makes. The socket's name
/// is relative to the working directory: a data directory may have a longer path than a socket can.
pub(super) fn on_terminal(mut command: Command, oci: &OciRuntime) -> Result<OwnedFd, Failure> {
    let told = |error: io::Error| format!("cannot set up a terminal: {error}");
    let listener = UnixListener::bind(CONSOLE).map_err(told)?;
    let (stderr, stderr_end) = io::pipe().map_err(told)?;
    command.args(["--console-socket", CONSOLE]).arg(&oci.id);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr_end).status();
    drop(command);
    // Nobody else comes this way; what is left of it goes with the directory.
    fs::remove_file(CONSOLE).ok();
    check(oci, status, &stderr)?;
    // The OCI runtime has connected and sent the terminal before it ended.
    listener.set_nonblocking(true).map_err(told)?;
    let (connection, _) = listener.accept().map_err(told)?;
    let (_, terminal) = take(connection.as_fd()).map_err(told)?;
    terminal.into_iter().next().ok_or_else(|| "the OCI runtime handed over no terminal".to_owned())
}

/// Lets the first user of a pod that has some for itself open its own output by name. The OCI runtime does that for others.
pub(super) fn give(first_id: Option<u32>, outputs: [BorrowedFd<'_>; 2]) -> Result<(), Failure> {
    let Some(id) = first_id else { return Ok(()) };
    let (owner, group) = (Some(Uid::from_raw(id)), Some(Gid::from_raw(id)));
    let mut outputs = outputs.into_iter();
    outputs
        .try_for_each(|output| fchown(output, owner, group))
        .map_err(|error| format!("cannot give output to user {id}: {error}"))
}

/// What the OCI runtime said if it failed; nothing else wrote to the pipe, as no program was started.
pub(super) fn check(
    oci: &OciRuntime,
    status: io::Result<ExitStatus>,
    mut stderr: &PipeReader,
) -> Result<(), Failure> {
    let binary = oci.binary.display();
    let status = status.map_err(|error| format!("cannot run {binary}: {error}; is it installed?"))?;
    if status.success() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    // A process left behind may hold the pipe open.
    rustix::io::ioctl_fionbio(stderr, true).ok();
    stderr.read_to_end(&mut bytes).ok();
    let text = tail(&bytes);
    Err(if text.is_empty() { format!("the OCI runtime ended with {status} and said nothing") } else { text })
}
