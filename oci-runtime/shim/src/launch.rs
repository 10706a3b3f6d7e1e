//! Starts the container: root file system, pipes or a terminal, the OCI runtime.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wherry_runtime_api::logs::Stream;
use wherry_shim::task::{Container, Stdin};

use crate::attached::{Attached, Input};
use crate::copies::{Copies, layer, mapped_layer};
use crate::mounts::within_own_mounts;
use crate::output::Output;
use crate::{Failure, Launched, runtime};

pub(super) fn launch(container: &Container) -> Result<Launched, Failure> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&container.log)
        .map_err(|error| format!("cannot open the log {}: {error}", container.log.display()))?;
    let copies = Copies::of(container)?;
    let streams = within_own_mounts(|| {
        copies.place()?;
        mount_root(container).map_err(|error| format!("cannot mount the root file system: {error}"))?;
        if container.terminal { on_terminal(container) } else { on_pipes(container) }
    })?;
    let (pid, process) = process(&pid_file(container))?;
    let attached = Attached::open(&container.dir, streams.input)
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

fn on_terminal(container: &Container) -> Result<Streams, Failure> {
    // Where the OCI runtime goes, too, before it looks for the socket.
    let bundle = bundle(container);
    let told = |error: Errno| format!("cannot enter {}: {error}", bundle.display());
    rustix::process::chdir(&bundle).map_err(told)?;
    let terminal = runtime::on_terminal(command(container), &container.runtime, &log(container))?;
    rustix::process::chdir("/").map_err(told)?;
    let input = terminal.try_clone().map_err(|error| format!("cannot share the terminal: {error}"))?;
    Ok(Streams { input: Input::Terminal(input), output: vec![(terminal, Stream::Stdout)] })
}

fn on_pipes(container: &Container) -> Result<Streams, Failure> {
    let told = |error: io::Error| format!("cannot create a pipe: {error}");
    let (stdout, stdout_end) = io::pipe().map_err(told)?;
    let (stderr, stderr_end) = io::pipe().map_err(told)?;
    let mut command = command(container);
    let (stdin_end, stdin) = io::pipe().map_err(told)?;
    let input = match container.stdin {
        Stdin::Empty => Input::None,
        Stdin::Open => Input::Pipe(stdin.into()),
        Stdin::Once => Input::Once(stdin.into()),
    };
    command.stdin(if container.stdin == Stdin::Empty { Stdio::null() } else { stdin_end.into() });
    runtime::give(
        container.users.as_ref().map(|users| users.first_id),
        [stdout_end.as_fd(), stderr_end.as_fd()],
    )?;
    let status = command.arg(&container.runtime.id).stdout(stdout_end).stderr(stderr_end).status();
    drop(command);
    runtime::check(&container.runtime, status, &stderr, &log(container))?;
    let output = vec![(stdout.into(), Stream::Stdout), (stderr.into(), Stream::Stderr)];
    Ok(Streams { input, output })
}

/// Mounts the overlay with paths relative to the container's directory: the kernel takes one page of options,
/// and an image may have over a hundred layers.
fn mount_root(container: &Container) -> io::Result<()> {
    rustix::process::chdir(&container.dir)?;
    let name = if container.users.is_some() { mapped_layer } else { layer };
    let lower: Vec<String> = (0..container.layers).rev().map(name).collect();
    let options = CString::new(format!("lowerdir={},upperdir=upper,workdir=work", lower.join(":")))?;
    let mounted = mount("overlay", "bundle/rootfs", "overlay", MountFlags::empty(), options.as_c_str());
    rustix::process::chdir("/")?;
    Ok(mounted?)
}

/// What starts the container, but for its id.
fn command(container: &Container) -> Command {
    let mut command = Command::new(&container.runtime.binary);
    command.arg("--root").arg(&container.runtime.root);
    command.arg("--log").arg(log(container));
    command.args(["run", "--detach", "--bundle"]).arg(bundle(container));
    command.arg("--pid-file").arg(pid_file(container));
    command
}

fn log(container: &Container) -> PathBuf {
    container.dir.join("runtime.log")
}

fn bundle(container: &Container) -> PathBuf {
    container.dir.join("bundle")
}

fn pid_file(container: &Container) -> PathBuf {
    container.dir.join("pid")
}

/// The process whose id the OCI runtime wrote to a file.
pub(super) fn process(pid_file: &Path) -> Result<(Pid, OwnedFd), Failure> {
    let text = fs::read_to_string(pid_file).map_err(|error| format!("cannot read the pid file: {error}"))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or("the pid file holds no process id")?;
    let process =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("cannot open the process: {error}"))?;
    Ok((pid, process))
}
