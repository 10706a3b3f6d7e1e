//! The first process of a pod whose containers see each other's processes.
//!
//! ```text
//! agent --spawns--> shim: own cgroup, the pod's namespaces and a new one of processes
//!                     \--> shim: process 1 in that namespace, reaps --"ready"--> the namespace is mounted, the shim ends
//! ```
//! In a pod that has users for itself there is one more between the two, who makes the new namespace as one of these, and lasts until it
//! is mounted: only so may containers of these users mount what shows their processes.
//!
//! # Guarantees
//! - It takes in processes that lost their parents, so that none stays a zombie.
//! - Whatever containers may do to it, they find nothing of the node: it is in no namespace of the node's but that of users, has
//!   no capabilities, runs as nobody in particular, and its file system is empty but for its program, which is read-only.
//! - It takes no signal from within its namespace; the agent ends it through its cgroup.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Uid, chdir, pivot_root, setgroups, setresgid, setresuid};
use rustix::process::DumpableBehavior;

use wherry_shim::cgroup::Cgroups;
use wherry_shim::namespaces;
use wherry_shim::task::{Pause, PauseAsUsers, Task};

use crate::Failure;
use crate::mounts::within_own_mounts;

/// The name of the program, for those who list the pod's processes.
const NAME: &str = "pause";
/// Whom upstream's pause runs as.
const NOBODY: u32 = 65535;
/// As kubelet has it: the kernel ends everything of a pod before this.
const OOM_SCORE: &str = "-998";
const READY: &str = "ready";
/// What the first process has for itself.
const OWN: CloneFlags =
    CloneFlags::CLONE_NEWPID.union(CloneFlags::CLONE_NEWUTS).union(CloneFlags::CLONE_NEWCGROUP);

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
    let root = task.root.as_path();
    fs::create_dir_all(root).map_err(|error| format!("cannot create {}: {error}", root.display()))?;
    let next = if let Some(user) = &task.user {
        Task::PauseAsUsers(PauseAsUsers { user: user.clone(), root: root.to_owned() })
    } else {
        unshare(OWN).map_err(|error| format!("cannot create namespaces: {error}"))?;
        Task::FirstProcess
    };
    let told = |error: io::Error| format!("cannot start process 1: {error}");
    let mut child = within_own_mounts(|| prepare(root).and_then(|()| spawn(root, &next)).map_err(told))?;
    hear(&mut child)?;
    let processes = match &task.user {
        Some(_) => format!("/proc/{}/ns/pid_for_children", child.id()),
        None => "/proc/self/ns/pid_for_children".to_owned(),
    };
    namespaces::pin(Path::new(&processes), &task.namespace)?;
    if task.user.is_some() {
        drop(child.stdin.take());
        child.wait().map_err(|error| format!("cannot wait for who made process 1: {error}"))?;
    }
    Ok(())
}

/// Makes process 1 of users that a pod has for itself, and waits until somebody mounted its namespace.
pub(super) fn as_users(task: &PauseAsUsers) -> Result<(), Failure> {
    namespaces::enter(&task.user, CloneFlags::CLONE_NEWUSER)?;
    become_one(&task.root).map_err(|error| format!("cannot become one of the pod's users: {error}"))?;
    Command::new(Path::new(".").join(NAME))
        .arg0(format!("/{NAME}"))
        .args(Task::FirstProcess.to_args())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start process 1: {error}"))?;
    let told = io::stdin().read_to_end(&mut Vec::new());
    told.map(drop).map_err(|error| format!("cannot wait for the namespace to be mounted: {error}"))
}

/// What is mounted belongs to the node and may not be moved: only a copy of it can become what process 1 sees.
fn become_one(root: &Path) -> Result<(), Errno> {
    unshare(OWN | CloneFlags::CLONE_NEWNS)?;
    mount(Some(root), root, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    chdir(root)?;
    settle(0)
}

fn hear(child: &mut Child) -> Result<(), Failure> {
    let report = child.stdout.take().ok_or("the report of process 1 is not piped")?;
    let mut told = String::new();
    let heard = BufReader::new(report).read_line(&mut told);
    heard.map_err(|error| format!("cannot hear of process 1: {error}"))?;
    let told = told.trim_end();
    if told == READY { Ok(()) } else { Err(format!("process 1 failed: {told}")) }
}

/// Mounts a file system that has nothing but this program, and cannot be written to.
fn prepare(root: &Path) -> io::Result<()> {
    let program = root.join(NAME);
    let none = None::<&str>;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(NAME), root, Some("tmpfs"), flags, Some("mode=755,size=4k"))?;
    File::create(&program)?;
    // By its path: the kernel binds nothing that is mounted in the namespace just left.
    mount(Some(&std::env::current_exe()?), &program, none, MsFlags::MS_BIND, none)?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(none, &program, none, MsFlags::MS_BIND | read_only, none)?;
    Ok(mount(none, root, none, read_only | MsFlags::MS_NODEV, none)?)
}

/// Runs this program once more, from that file system.
fn spawn(root: &Path, task: &Task) -> io::Result<Child> {
    let (stdin, stderr) = match task {
        Task::FirstProcess => (Stdio::null(), Stdio::null()),
        _ => (Stdio::piped(), Stdio::inherit()),
    };
    Command::new(root.join(NAME))
        .arg0(format!("/{NAME}"))
        .args(task.to_args())
        .env_clear()
        .current_dir(root)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
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
    chdir("/")?;
    settle(NOBODY)?;
    let no = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    rustix::thread::set_no_new_privs(true).map_err(no)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(no)
}

/// Is this user from now on, in the group of the same number alone.
fn settle(id: u32) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
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
