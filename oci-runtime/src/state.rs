//! What is kept on disk of one container, and nothing else decides its state.
//!
//! ```text
//! containers/UID_NAME_ATTEMPT/
//!   record.json    what was asked and how to run it; written last by `create`: without it there is no container
//!   running.json   written by the shim once the program runs
//!   exit.json      written by the shim (or, if the shim is gone, by the agent) once the program ended
//!   attach         a socket on which the shim takes those who attach to the program
//!   alive          a FIFO whose writing end the shim holds for as long as it lives
//!   bundle/        config.json and the mount point of the root file system
//!   upper/ work/   the writable layer;  l0, l1, ..: links to the image's layers, lowest first
//!   shared/        where the shim alone sees volumes whose mounts the container and the node share
//!   layers/ mapped/  where it alone sees layers and volumes as if they belonged to the users of the pod
//! ```

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wherry_runtime_api::{ContainerSpec, ContainerState, Mount, Propagation, RuntimeError, User};
use wherry_shim::records::{Exit, Running};
use wherry_shim::task::{Bind, Command, Container, Mapping, OciRuntime, Stdin, Task};

use crate::files;

/// How to run one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What was asked.
    pub(crate) spec: ContainerSpec,
    /// The image's digest.
    pub(crate) image_digest: String,
    /// The OCI runtime's binary.
    pub(crate) runtime_binary: PathBuf,
    /// Where the OCI runtime keeps its own state.
    pub(crate) runtime_root: PathBuf,
    /// Who its program runs as at first.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// Number of image layers.
    pub(crate) layers: usize,
    /// The signal that asks the program to end.
    pub(crate) stop_signal: i32,
    /// The container's cgroup.
    pub(crate) cgroup: String,
    /// The cgroup of the container's shim.
    pub(crate) shim_cgroup: String,
}

impl Record {
    /// What the container's shim is to do.
    pub(crate) fn task(&self, dir: &ContainerDir) -> Task {
        let (streams, users) = (self.spec.streams, self.spec.sandbox.users.as_ref());
        let bind = |(place, mount): (PathBuf, &Mount)| Bind { source: mount.host_path.clone(), place };
        Task::Container(Box::new(Container {
            dir: dir.path().to_owned(),
            log: self.spec.log_path.clone(),
            runtime: self.runtime(),
            layers: self.layers,
            cgroup: self.cgroup.clone(),
            shim_cgroup: self.shim_cgroup.clone(),
            stdin: match (streams.stdin, streams.stdin_once) {
                (false, _) => Stdin::Empty,
                (true, false) => Stdin::Open,
                (true, true) => Stdin::Once,
            },
            terminal: streams.terminal,
            leaves_processes: self.spec.sees_other_processes(),
            shared: dir.shared(&self.spec.mounts).map(bind).collect(),
            users: users.map(|users| Mapping { namespace: users.user(), first_id: users.first_id }),
            mapped: if users.is_some() {
                dir.mapped(&self.spec.mounts).map(bind).collect()
            } else {
                Vec::new()
            },
        }))
    }

    /// What the shim of a command is to do that is described in the directory `place`.
    pub(crate) fn command(&self, place: &Path, terminal: bool) -> Task {
        Task::Command(Command {
            dir: place.to_owned(),
            runtime: self.runtime(),
            shim_cgroup: self.shim_cgroup.clone(),
            terminal,
            first_id: self.spec.sandbox.users.as_ref().map(|users| users.first_id),
        })
    }

    /// What the OCI runtime is called.
    pub(crate) fn program(&self) -> Cow<'_, str> {
        self.runtime_binary.file_name().unwrap_or_default().to_string_lossy()
    }

    fn runtime(&self) -> OciRuntime {
        let (binary, root) = (self.runtime_binary.clone(), self.runtime_root.clone());
        OciRuntime { binary, root, id: self.spec.id.to_string() }
    }
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerDir(PathBuf);

impl ContainerDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.0.join("bundle")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("bundle/config.json")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// The mounts whose own mounts the container and the node share, and where the OCI runtime is to find each.
    pub(crate) fn shared<'m>(
        &self,
        mounts: &'m [Mount],
    ) -> impl Iterator<Item = (PathBuf, &'m Mount)> + use<'m> {
        self.placed("shared", mounts).filter(|(_, mount)| mount.options.propagation == Propagation::Both)
    }

    /// The mounts that are shown as if they belonged to the pod's users, and where the OCI runtime is to find each.
    pub(crate) fn mapped<'m>(
        &self,
        mounts: &'m [Mount],
    ) -> impl Iterator<Item = (PathBuf, &'m Mount)> + use<'m> {
        self.placed("mapped", mounts)
    }

    fn placed<'m>(
        &self,
        kind: &str,
        mounts: &'m [Mount],
    ) -> impl Iterator<Item = (PathBuf, &'m Mount)> + use<'m> {
        let dir = self.0.join(kind);
        mounts.iter().enumerate().map(move |(number, mount)| (dir.join(number.to_string()), mount))
    }

    pub(crate) fn alive(&self) -> PathBuf {
        self.0.join("alive")
    }

    pub(crate) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(crate) fn record(&self) -> Result<Option<Record>, RuntimeError> {
        files::read_json(&self.0.join("record.json"))
    }

    pub(crate) fn set_record(&self, record: &Record) -> Result<(), RuntimeError> {
        files::write_json(&self.0.join("record.json"), record)
    }

    pub(crate) fn running(&self) -> Result<Option<Running>, RuntimeError> {
        files::read_json(&Running::file(&self.0))
    }

    pub(crate) fn exit(&self) -> Result<Option<Exit>, RuntimeError> {
        files::read_json(&Exit::file(&self.0))
    }

    pub(crate) fn set_exit(&self, exit: &Exit) -> Result<(), RuntimeError> {
        exit.write(&self.0).map_err(files::io_error)
    }
}

/// Where a container is in its life, as the agent last saw it.
///
/// ```text
/// Created --start--> Starting --shim: running.json--> Running --shim: exit.json--> Exited
///    \--stop-----------------\--it could not be started-----------------------------^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Set up; no shim.
    Created,
    /// A shim is starting the program.
    Starting,
    /// The program runs below a shim.
    Running {
        /// When it was started.
        started_at: Timestamp,
    },
    /// No program, no shim.
    Exited(Exit),
}

impl Phase {
    /// The phase in the words of the runtime contract.
    pub(crate) fn state(&self) -> ContainerState {
        match self {
            Self::Created | Self::Starting => ContainerState::Created,
            Self::Running { started_at } => ContainerState::Running { started_at: *started_at },
            Self::Exited(exit) => ContainerState::Exited {
                started_at: exit.started_at,
                finished_at: exit.finished_at,
                code: exit.code,
                reason: exit.reason,
                message: exit.message.clone(),
            },
        }
    }
}
