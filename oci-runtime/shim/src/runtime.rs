//! Running the OCI runtime to its end: on pipes or on a terminal, and what it says if it fails.

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{Gid, Uid, fchown};
use wherry_shim::reports::take;
use wherry_shim::tail;
use wherry_shim::task::OciRuntime;

use crate::Failure;

/// Where the terminal's descriptor is handed over, below the working directory.
const CONSOLE: &str = "console";

/// Runs a command of the OCI runtime, which lacks only the container's id, and returns the terminal it makes. The socket is named
/// by this process's working directory: a data directory may have a longer path than a socket can, and youki goes elsewhere
/// before it looks for the socket.
pub(super) fn on_terminal(mut command: Command, oci: &OciRuntime, log: &Path) -> Result<OwnedFd, Failure> {
    let told = |error: io::Error| format!("cannot set up a terminal: {error}");
    let listener = UnixListener::bind(CONSOLE).map_err(told)?;
    let (stderr, stderr_end) = io::pipe().map_err(told)?;
    let socket = format!("/proc/{}/cwd/{CONSOLE}", std::process::id());
    command.args(["--console-socket", &socket]).arg(&oci.id);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr_end).status();
    drop(command);
    // Nobody else comes this way; what is left of it goes with the directory.
    fs::remove_file(CONSOLE).ok();
    check(oci, status, &stderr, log)?;
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

/// What the OCI runtime said if it failed, or else wrote to its log; nothing else wrote to the pipe, as no program was started.
pub(super) fn check(
    oci: &OciRuntime,
    status: io::Result<ExitStatus>,
    mut stderr: &PipeReader,
    log: &Path,
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
    let said = Some(tail(&bytes)).filter(|text| !text.is_empty());
    let said = said.or_else(|| complaint(&fs::read(log).ok()?));
    Err(said.unwrap_or_else(|| format!("the OCI runtime ended with {status} and said nothing")))
}

/// The first complaint in a log, as youki writes it: `TIME ERROR PLACE: COMPLAINT`, in colours.
fn complaint(log: &[u8]) -> Option<String> {
    let log = plain(&String::from_utf8_lossy(log));
    let (_, line) = log.lines().find_map(|line| line.split_once("ERROR "))?;
    let words = line.split_once(": ").map_or(line, |(_, words)| words);
    Some(tail(words.as_bytes()))
}

/// A text without what changes its colours.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_complaint_of_a_log_is_found() {
        let log = "\u{1b}[2m2026-11-23T14:44:07Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m youki: began\n\
                   \u{1b}[2m2026-11-23T14:44:07Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m \u{1b}[2mlibcontainer::mount\u{1b}[0m\u{1b}[2m:\u{1b}[0m no \"/x\": gone\n\
                   2026-11-23T14:44:07Z ERROR youki: failed\n";
        assert_eq!(complaint(log.as_bytes()).as_deref(), Some("no \"/x\": gone"));
        assert_eq!(complaint(b"all is well\n"), None);
    }

    proptest! {
        #[test]
        fn any_log_is_read(log: Vec<u8>, text in "(\u{1b}\\[|[0-9m]|ERROR |: |é|\n){0,20}") {
            complaint(&log);
            complaint(text.as_bytes());
        }
    }
}
