//! Starts the container: root file system, output pipes, the OCI runtime.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use jiff::Timestamp;
use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::output::Output;
use super::{Failure, Launched};
use crate::state::{ContainerDir, Record};

/// How much of what the OCI runtime said is kept of a failed start; the end says most.
const MAX_MESSAGE: usize = 4096;

pub(super) fn launch(dir: &ContainerDir, record: &Record) -> Result<Launched, Failure> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&record.spec.log_path)
        .map_err(|error| format!("cannot open the log {}: {error}", record.spec.log_path.display()))?;
    let (stdout, stdout_end) = io::pipe().map_err(|error| format!("cannot create a pipe: {error}"))?;
    let (stderr, stderr_end) = io::pipe().map_err(|error| format!("cannot create a pipe: {error}"))?;
    let status = within_own_mounts(dir, record, || {
        let mut command = command(dir, record);
        command.stdout(stdout_end).stderr(stderr_end).status().map_err(|error| {
            let binary = record.runtime_binary.display();
            format!("cannot run {binary}: {error}; is it installed?")
        })
    })?;
    if !status.success() {
        return Err(explain(status, stderr));
    }
    let (pid, process) = process(&dir.pid_file())?;
    let output = Output::new(log, stdout, stderr).map_err(|error| format!("cannot read output: {error}"))?;
    Ok(Launched { pid, process, output, started_at: Timestamp::now() })
}

/// Runs `work` where the container's root file system is mounted. That namespace ends with the call: what `work`
/// started keeps its own copy.
fn within_own_mounts<T>(
    dir: &ContainerDir,
    record: &Record,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let told = |step: &'static str| move |error: io::Error| format!("cannot {step}: {error}");
    let home = File::open("/proc/self/ns/mnt").map_err(told("open the mount namespace"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(io::Error::from).map_err(told("create a mount namespace"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(io::Error::from).map_err(told("make mounts private"))?;
    mount_root(dir, record).map_err(told("mount the root file system"))?;
    let done = work();
    setns(home.as_fd(), CloneFlags::CLONE_NEWNS)
        .map_err(io::Error::from)
        .map_err(told("return to the mount namespace"))?;
    done
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

fn command(dir: &ContainerDir, record: &Record) -> Command {
    let mut command = Command::new(&record.runtime_binary);
    command.arg("--root").arg(&record.runtime_root);
    command.arg("--log").arg(dir.runtime_log());
    command.args(["run", "--detach", "--bundle"]).arg(dir.bundle());
    command.arg("--pid-file").arg(dir.pid_file());
    command.arg(record.spec.id.to_string()).stdin(Stdio::null());
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

/// The end of what the OCI runtime wrote; nothing else wrote to the pipe, as no program was started.
fn explain(status: ExitStatus, mut stderr: PipeReader) -> Failure {
    let mut bytes = Vec::new();
    // A process left behind may hold the pipe open.
    rustix::io::ioctl_fionbio(&stderr, true).ok();
    stderr.read_to_end(&mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MAX_MESSAGE)..]).trim().to_owned();
    if text.is_empty() { format!("the OCI runtime ended with {status} and said nothing") } else { text }
}
