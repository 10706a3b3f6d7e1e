//! Starts the container: root file system, pipes or a terminal, the OCI runtime.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wherry_runtime_api::logs::Stream;

use super::attached::{Attached, Input};
use super::mounts::within_own_mounts;
use super::output::Output;
use super::shared::Shared;
use super::{Failure, Launched, runtime};
use crate::state::{ContainerDir, Record};

pub(super) fn launch(dir: &ContainerDir, record: &Record) -> Result<Launched, Failure> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&record.spec.log_path)
        .map_err(|error| format!("cannot open the log {}: {error}", record.spec.log_path.display()))?;
    let shared = Shared::copy(dir, record)?;
    let streams = within_own_mounts(|| {
        shared.place()?;
        mount_root(dir, record).map_err(|error| format!("cannot mount the root file system: {error}"))?;
        if record.spec.streams.terminal { on_terminal(dir, record) } else { on_pipes(dir, record) }
    })?;
    let (pid, process) = process(&dir.pid_file())?;
    let attached = Attached::open(dir, streams.input)
        .map_err(|error| format!("cannot listen for those who attach: {error}"))?;
    let output = Output::new(log, streams.output, attached);
    let output = output.map_err(|error| format!("cannot read output: {error}"))?;
    Ok(Launched { pid, process, output, started_at: Timestamp::now() })
}

/// The shim's ends of the program's streams.
struct Streams {
    input: Input,
    output: Vec<(OwnedFd, Stream)>,
}

fn on_terminal(dir: &ContainerDir, record: &Record) -> Result<Streams, Failure> {
    // Where the OCI runtime goes, too, before it looks for the socket.
    let bundle = dir.bundle();
    let told = |error: Errno| format!("cannot enter {}: {error}", bundle.display());
    rustix::process::chdir(&bundle).map_err(told)?;
    let terminal = runtime::on_terminal(command(dir, record), record)?;
    rustix::process::chdir("/").map_err(told)?;
    let input = terminal.try_clone().map_err(|error| format!("cannot share the terminal: {error}"))?;
    Ok(Streams { input: Input::Terminal(input), output: vec![(terminal, Stream::Stdout)] })
}

fn on_pipes(dir: &ContainerDir, record: &Record) -> Result<Streams, Failure> {
    let told = |error: io::Error| format!("cannot create a pipe: {error}");
    let (stdout, stdout_end) = io::pipe().map_err(told)?;
    let (stderr, stderr_end) = io::pipe().map_err(told)?;
    let mut command = command(dir, record);
    let wanted = record.spec.streams;
    let input = if wanted.stdin {
        let (stdin_end, stdin) = io::pipe().map_err(told)?;
        command.stdin(stdin_end);
        if wanted.stdin_once { Input::Once(stdin.into()) } else { Input::Pipe(stdin.into()) }
    } else {
        command.stdin(Stdio::null());
        Input::None
    };
    let status = command.arg(record.spec.id.to_string()).stdout(stdout_end).stderr(stderr_end).status();
    drop(command);
    runtime::check(record, status, &stderr)?;
    let output = vec![(stdout.into(), Stream::Stdout), (stderr.into(), Stream::Stderr)];
    Ok(Streams { input, output })
}

/// Mounts the overlay with paths relative to the container's directory: the kernel takes one page of options,
/// and an image may have over a hundred layers.
fn mount_root(dir: &ContainerDir, record: &Record) -> io::Result<()> {
    rustix::process::chdir(dir.path())?;
    let lower: Vec<String> = (0..record.layers).rev().map(|index| format!("l{index}")).collect();
    let options = CString::new(format!("lowerdir={},upperdir=upper,workdir=work", lower.join(":")))?;
    let mounted = mount("overlay", "bundle/rootfs", "overlay", MountFlags::empty(), options.as_c_str());
    rustix::process::chdir("/")?;
    Ok(mounted?)
}

/// What starts the container, but for its id.
fn command(dir: &ContainerDir, record: &Record) -> Command {
    let mut command = Command::new(&record.runtime_binary);
    command.arg("--root").arg(&record.runtime_root);
    command.arg("--log").arg(dir.runtime_log());
    command.args(["run", "--detach", "--bundle"]).arg(dir.bundle());
    command.arg("--pid-file").arg(dir.pid_file());
    command
}

/// The process whose id the OCI runtime wrote to a file.
pub(super) fn process(pid_file: &Path) -> Result<(Pid, OwnedFd), Failure> {
    let text = fs::read_to_string(pid_file).map_err(|error| format!("cannot read the pid file: {error}"))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or("the pid file holds no process id")?;
    let process =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("cannot open the process: {error}"))?;
    Ok((pid, process))
}
