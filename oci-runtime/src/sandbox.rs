//! What the containers of a pod share beside its network.
//!
//! ```text
//! sandboxes/UID/
//!   sandbox.json   what was asked; written first, so that all can be removed whatever happens
//!   ipc            the IPC namespace, mounted
//!   shm/           its memory shared by name, mounted
//!   pid            for pods that share their processes: the namespace of these, mounted
//!   root/          what the first of these processes has for a file system (in a namespace of its own)
//! ```
//!
//! # Guarantees
//! - The pod's kernel settings are made once in the life of its namespaces, before any container.
//! - [`SandboxDir::ensure`] repairs what is missing; a first process that was killed took all others with it, and is
//!   replaced.
//!
//! # Caveats
//! - The namespaces are found by their mounts. An agent that starts again where these are not, in another mount namespace, makes
//!   others for the containers to come.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{NSFS_MAGIC, TMPFS_MAGIC, statfs};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;
use serde::{Deserialize, Serialize};
use wherry_runtime_api::{PodUsers, RuntimeError, SandboxSpec};
use wherry_shim::namespaces::{enter, pin};
use wherry_shim::tail;
use wherry_shim::task::{Pause, Task};

use crate::cgroup::Cgroups;
use crate::files::{self, failed, io_error};
use crate::host;
use crate::spec::joined::Joined;

const THREAD_IPC: &str = "/proc/thread-self/ns/ipc";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// As large as containerd makes it.
const SHARED_MEMORY: &str = "mode=1777,size=65536k";

/// What is kept on disk of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// What was asked.
    spec: SandboxSpec,
    /// The boot of the machine in which the pod's settings were made.
    settled_in: Option<String>,
}

/// The directory of one sandbox.
#[derive(Clone, Debug)]
pub(crate) struct SandboxDir(PathBuf);

impl SandboxDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn record(&self) -> Result<Option<Record>, RuntimeError> {
        files::read_json(&self.record_file())
    }

    fn ipc(&self) -> PathBuf {
        self.0.join("ipc")
    }

    fn processes(&self) -> PathBuf {
        self.0.join("pid")
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn shared_memory(&self) -> PathBuf {
        self.0.join("shm")
    }

    fn record_file(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }

    /// What a container of the sandbox joins.
    pub(crate) fn joined(&self, spec: &SandboxSpec) -> Joined {
        Joined {
            ipc: (!spec.node_namespaces.ipc).then(|| (self.ipc(), self.shared_memory())),
            processes: spec.shares_processes.then(|| self.processes()),
        }
    }

    /// Sets up what is missing, and gives the pod's cgroup its limits. `program` is that of shims.
    pub(crate) fn ensure(
        &self,
        spec: &SandboxSpec,
        cgroups: &Cgroups,
        program: &Path,
    ) -> Result<(), RuntimeError> {
        let boot = fs::read_to_string(BOOT).map_err(failed("read", Path::new(BOOT)))?;
        let settled_in = self.record()?.and_then(|record| record.settled_in).filter(|known| *known == boot);
        let is_settled = settled_in.is_some();
        files::create_dir(&self.0)?;
        files::write_json(&self.record_file(), &Record { spec: spec.clone(), settled_in })?;
        cgroups.update(&spec.cgroup_parent, &spec.resources)?;
        cgroups.limit_huge_pages(&spec.cgroup_parent, &host::sizes(), &spec.huge_pages)?;
        if !spec.node_namespaces.ipc {
            self.ensure_shared_memory(spec.users.as_ref().map_or(0, |users| users.first_id))?;
        }
        self.ensure_namespaces(spec, is_settled)?;
        if !is_settled {
            let record = Record { spec: spec.clone(), settled_in: Some(boot) };
            files::write_json(&self.record_file(), &record)?;
        }
        if spec.shares_processes { self.ensure_processes(spec, cgroups, program) } else { Ok(()) }
    }

    /// Ends what is left in the sandbox and removes it. Each step may be repeated.
    pub(crate) fn remove(&self, cgroups: &Cgroups) -> Result<(), RuntimeError> {
        let record = self.record()?;
        if let Some(record) = &record {
            cgroups.kill(&record.spec.cgroup_parent)?;
        }
        for place in [self.processes(), self.ipc(), self.shared_memory()] {
            unmount(&place)?;
        }
        if let Some(record) = &record {
            cgroups.remove(&record.spec.cgroup_parent)?;
        }
        files::remove_tree(&self.0)
    }

    fn ensure_shared_memory(&self, owner: u32) -> Result<(), RuntimeError> {
        let place = self.shared_memory();
        files::create_dir(&place)?;
        if statfs(&place).is_ok_and(|info| info.filesystem_type() == TMPFS_MAGIC) && is_mount(&place) {
            return Ok(());
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
        let options = format!("{SHARED_MEMORY},uid={owner},gid={owner}");
        mount(Some("shm"), &place, Some("tmpfs"), flags, Some(options.as_str()))
            .map_err(|error| failed("mount", &place)(error.into()))
    }

    /// Makes the pod's IPC namespace and its settings, on a thread of its own: it ends within that namespace.
    fn ensure_namespaces(&self, spec: &SandboxSpec, is_settled: bool) -> Result<(), RuntimeError> {
        if is_settled && (spec.node_namespaces.ipc || is_namespace(&self.ipc())) {
            return Ok(());
        }
        let (dir, spec) = (self.clone(), spec.clone());
        let step = "set up the namespaces of a pod";
        let thread = std::thread::Builder::new().name("wherry-sandbox".to_owned());
        let thread = thread.spawn(move || {
            if !spec.node_namespaces.ipc {
                dir.enter_ipc(spec.users.as_ref())?;
            }
            if let Some(network) = &spec.netns {
                enter(network, CloneFlags::CLONE_NEWNET).map_err(io_error)?;
            }
            let owner = spec.users.as_ref().map(|users| users.first_id);
            spec.sysctls.iter().try_for_each(|(name, value)| set(name, value, owner))
        });
        let thread = thread.map_err(step_failed(step))?;
        thread.join().map_err(|_| step_failed(step)("its thread panicked"))?
    }

    /// Puts this thread into the pod's IPC namespace, the one there is, that of the pod's own users, or a new one.
    fn enter_ipc(&self, users: Option<&PodUsers>) -> Result<(), RuntimeError> {
        let place = self.ipc();
        if is_namespace(&place) {
            return enter(&place, CloneFlags::CLONE_NEWIPC).map_err(io_error);
        }
        match users {
            Some(users) => enter(&users.ipc(), CloneFlags::CLONE_NEWIPC).map_err(io_error)?,
            None => unshare(CloneFlags::CLONE_NEWIPC).map_err(step_failed("make an IPC namespace"))?,
        }
        pin(Path::new(THREAD_IPC), &place).map_err(io_error)
    }

    /// Starts the first of the pod's processes unless it lives.
    fn ensure_processes(
        &self,
        spec: &SandboxSpec,
        cgroups: &Cgroups,
        program: &Path,
    ) -> Result<(), RuntimeError> {
        let group = pause_group(spec);
        if is_namespace(&self.processes()) && cgroups.has_processes(&group) {
            return Ok(());
        }
        cgroups.kill(&group)?;
        unmount(&self.processes())?;
        let step = "start the first process of a pod";
        let task = Task::Pause(Pause {
            cgroup: group,
            ipc: (!spec.node_namespaces.ipc).then(|| self.ipc()),
            network: spec.netns.clone(),
            user: spec.users.as_ref().map(PodUsers::user),
            root: self.root(),
            namespace: self.processes(),
        });
        let shim = Command::new(program).args(task.to_args()).stdin(Stdio::null()).output();
        let shim = shim.map_err(step_failed(step))?;
        if shim.status.success() {
            return Ok(());
        }
        Err(step_failed(step)(format!("{}: {}", shim.status, tail(&shim.stderr))))
    }
}

/// The cgroup of the first process of a pod that shares them.
fn pause_group(spec: &SandboxSpec) -> String {
    format!("{}/pause", spec.cgroup_parent.trim_end_matches('/'))
}

/// Whether a namespace is mounted there.
pub(crate) fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| info.filesystem_type() == NSFS_MAGIC)
}

/// Whether another file system than that around it is at the directory.
fn is_mount(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    directory.parent().is_some_and(|parent| device(directory) != device(parent))
}

/// Unmounts what is there, if anything is.
pub(crate) fn unmount(place: &Path) -> Result<(), RuntimeError> {
    match umount2(place, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(failed("unmount", place)(error.into())),
    }
}

/// Makes a kernel setting of this thread's namespaces, named with dots. `owner` is root in them, if root of the node is not.
fn set(name: &str, value: &str, owner: Option<u32>) -> Result<(), RuntimeError> {
    let file = Path::new("/proc/sys").join(name.replace('.', "/"));
    let written = match (fs::write(&file, value), owner) {
        // From Linux 6.9 on, what is of the IPC namespace is for its own root alone, before for that of the node alone.
        (Err(error), Some(owner)) if error.kind() == io::ErrorKind::PermissionDenied => {
            as_user(owner, || fs::write(&file, value))
        }
        (written, _) => written,
    };
    written.map_err(step_failed(&format!("set {name} to {value:?}")))
}

/// Does something as another user: this thread alone, and only so long.
fn as_user<T>(id: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let become_user = |id: u32| set_thread_res_uid(None, Uid::from_raw(id), None);
    let own = geteuid().as_raw();
    become_user(id)?;
    let done = work();
    become_user(own)?;
    done
}

/// Makes the error of a failed step.
pub(crate) fn step_failed<E: Display>(step: &str) -> impl FnOnce(E) -> RuntimeError + use<E> {
    let step = step.to_owned();
    move |error| RuntimeError::Failed { step, reason: error.to_string() }
}
