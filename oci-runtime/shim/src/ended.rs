//! How a process ended whose parent this one is, or is about to become.
//!
//! An OCI runtime may say that the program runs, and end, before the process of its own that began the program has ended (crun does).
//! A program that is quicker still has ended by then as a child of that process, and only that one could learn how. It never asks:
//! as soon as it ends, too, the program is this process's to ask for.

use std::fs;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid};

use crate::Failure;

/// The exit code, 128 + signal for a signal; the process stays a zombie until the shim ends, so that its id is
/// not given to another while it is on record.
pub(super) fn exit_code(pid: Pid) -> Result<i32, Failure> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(status) => break status.ok_or("the program's exit status is gone")?,
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => {
                adopted(pid).map_err(|error| format!("cannot wait to adopt the program: {error}"))?;
            }
            Err(error) => return Err(format!("cannot wait for the program: {error}")),
        }
    };
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.ok_or_else(|| "the program's exit status is unreadable".to_owned())
}

/// Returns once another parent of the process has ended, or was not its parent any more.
fn adopted(pid: Pid) -> io::Result<()> {
    let other = parent(pid)?;
    if other == getpid() {
        return Ok(());
    }
    let handle = match pidfd_open(other, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        handle => handle?,
    };
    // The handle is the parent's only if the parent is the same now that it is open.
    if parent(pid)? == other {
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], None) {
            Err(error) if error != Errno::INTR => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn parent(of: Pid) -> io::Result<Pid> {
    let status = fs::read_to_string(format!("/proc/{}/status", of.as_raw_nonzero()))?;
    let id = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    id.and_then(Pid::from_raw).ok_or_else(|| io::Error::other("its parent is not known"))
}
