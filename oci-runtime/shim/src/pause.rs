//! The first process of a pod whose containers see each other's processes.
//!
//! ```text
//! agent --spawns--> shim: own cgroup, the pod's namespaces and a new one of processes
//!                     \--> shim: process 1 in that namespace, reaps --"ready"--> the namespace is mounted, the shim ends
//! ```
//!
//! # Guarantees
//! - It takes in processes that lost their parents, so that none stays a zombie.
//! - Whatever containers may do to it, they find nothing of the node: it is in no namespace of the node's but that of users, has
//!   no capabilities, runs as nobody in particular, and its file system is empty but for its program, which is read-only.
//! - It takes no signal from within its namespace; the agent ends it through its cgroup.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Uid, pivot_root, setgroups, setresgid, setresuid};
use rustix::process::DumpableBehavior;

use wherry_shim::cgroup::Cgroups;
use wherry_shim::namespaces;
use wherry_shim::task::{Pause, Task};

use crate::Failure;
use crate::mounts::within_own_mounts;

/// The name of the program, for those who list the pod's processes.
const NAME: &str = "pause";
/// Whom upstream's pause runs as.
const NOBODY: u32 = 65535;
/// As kubelet has it: the kernel ends everything of a pod before this.
const OOM_SCORE: &str = "-998";
const READY: &str = "ready";

/// Starts process 1 of the sandbox and mounts its namespace.
pub(super) fn start(task: &Pause) -> Result<(), Failure> {
    Cgroups::detect()?.join(&task.cgroup)?;
    // Fails only for a process group leader, which has no session of the agent to leave.
    rustix::process::setsid().ok();
    // Without the privilege to lower it the kernel may choose this process like any other.
    fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
    let ipc = task.ipc.as_ref().map(|path| (path, CloneFlags::CLONE_NEWIPC));
    let network = task.network.as_ref().map(|path| (path, CloneFlags::CLONE_NEWNET));
    for (path, kind) in ipc.into_iter().chain(network) {
        namespaces::enter(path, kind)?;
    }
    let own = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWCGROUP;
    unshare(own).map_err(|error| format!("cannot create namespaces: {error}"))?;
    let root = task.root.as_path();
    fs::create_dir_all(root).map_err(|error| format!("cannot create {}: {error}", root.display()))?;
    let report =
        within_own_mounts(|| spawn(root).map_err(|error| format!("cannot start process 1: {error}")))?;
    let mut told = String::new();
    BufReader::new(report)
        .read_line(&mut told)
        .map_err(|error| format!("cannot hear of process 1: {error}"))?;
    if told.trim_end() != READY {
        return Err(format!("process 1 failed: {}", told.trim_end()));
    }
    Ok(namespaces::pin(Path::new("/proc/self/ns/pid_for_children"), &task.namespace)?)
}

/// Runs this program once more, from a file system that has nothing else.
fn spawn(root: &Path) -> io::Result<ChildStdout> {
    let program = root.join(NAME);
    let none = None::<&str>;
    mount(Some(NAME), root, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755,size=4k"))?;
    File::create(&program)?;
    // By its path: the kernel binds nothing that is mounted in the namespace just left.
    mount(Some(&std::env::current_exe()?), &program, none, MsFlags::MS_BIND, none)?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(none, &program, none, read_only, none)?;
    let mut child = Command::new(&program)
        .arg0(format!("/{NAME}"))
        .args(Task::FirstProcess.to_args())
        .env_clear()
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdout.take().ok_or_else(|| io::Error::other("its report is not piped"))
}

/// Is process 1 until it is killed.
pub(super) fn first_process() -> Result<(), Failure> {
    let report = match withdraw() {
        Ok(()) => READY.to_owned(),
        Err(error) => error.to_string(),
    };
    writeln!(io::stdout(), "{report}").map_err(|error| format!("cannot report: {error}"))?;
    if report == READY { reap() } else { Err(report) }
}

/// Leaves everything that is the node's.
fn withdraw() -> Result<(), Errno> {
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    let no = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    rustix::thread::set_no_new_privs(true).map_err(no)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(no)
}

/// Takes note of every process that ends below this one.
fn reap() -> Result<(), Failure> {
    let told = |error: Errno| format!("cannot wait for processes: {error}");
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block().map_err(told)?;
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(told(error)),
            }
        }
        ends.wait().map_err(told)?;
    }
}
