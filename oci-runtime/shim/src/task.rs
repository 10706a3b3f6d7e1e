//! What a shim is started for, as its arguments say it: a word, then `NAME=VALUE` for each field.
//!
//! Agent and shim are of one version whenever one starts the other, so the form may change with every version.

mod fields;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use fields::{Reader, Writer};

const CONTAINER: &str = "container";
const COMMAND: &str = "command";
const PAUSE: &str = "pause";
const FIRST_PROCESS: &str = "first-process";

/// What a shim does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Runs a container until it has ended.
    Container(Box<Container>),
    /// Runs a command beside a container's program until it has ended, or its standard input is closed.
    Command(Command),
    /// Begins the processes of a pod.
    Pause(Pause),
    /// Is the first of a pod's processes, until it is killed.
    FirstProcess,
}

/// How a container is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its directory.
    pub dir: PathBuf,
    /// Where its output is written.
    pub log: PathBuf,
    /// What runs it.
    pub runtime: OciRuntime,
    /// Number of image layers.
    pub layers: usize,
    /// Its cgroup.
    pub cgroup: String,
    /// The cgroup of its shim.
    pub shim_cgroup: String,
    /// What its program reads.
    pub stdin: Stdin,
    /// Whether its program has a terminal.
    pub terminal: bool,
    /// Whether what its program leaves has to be killed, because the kernel does not.
    pub leaves_processes: bool,
    /// Volumes whose mounts it shares with the node.
    pub shared: Vec<Shared>,
}

/// An OCI runtime that runs one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRuntime {
    /// Its program.
    pub binary: PathBuf,
    /// Where it keeps its own state.
    pub root: PathBuf,
    /// The container's id.
    pub id: String,
}

/// What a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    Empty,
    /// What those write who attach.
    Open,
    /// What the first one writes who attaches.
    Once,
}

/// A volume whose mounts a container and the node share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where the OCI runtime finds it.
    pub place: PathBuf,
}

/// How a command is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The directory that describes it.
    pub dir: PathBuf,
    /// What runs it, and in which container.
    pub runtime: OciRuntime,
    /// The cgroup of its shim.
    pub shim_cgroup: String,
    /// Whether it has a terminal.
    pub terminal: bool,
}

/// How the processes of a pod begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The cgroup of the first one.
    pub cgroup: String,
    /// The pod's IPC namespace, if it has one.
    pub ipc: Option<PathBuf>,
    /// The pod's network namespace, if it has one.
    pub network: Option<PathBuf>,
    /// What the first one has for a file system.
    pub root: PathBuf,
    /// Where the namespace of the processes is mounted.
    pub namespace: PathBuf,
}

impl Task {
    /// As arguments of the shim's program.
    pub fn to_args(&self) -> Vec<OsString> {
        match self {
            Self::Container(task) => task.write(Writer::new(CONTAINER)),
            Self::Command(task) => task.write(Writer::new(COMMAND)),
            Self::Pause(task) => task.write(Writer::new(PAUSE)),
            Self::FirstProcess => Writer::new(FIRST_PROCESS),
        }
        .finish()
    }

    /// What the arguments say; an error names the one that does not belong or is missing.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let word = args.next().unwrap_or_default();
        let mut fields = Reader::new(args)?;
        let task = match word.to_str() {
            Some(CONTAINER) => Self::Container(Box::new(Container::read(&mut fields)?)),
            Some(COMMAND) => Self::Command(Command::read(&mut fields)?),
            Some(PAUSE) => Self::Pause(Pause::read(&mut fields)?),
            Some(FIRST_PROCESS) => Self::FirstProcess,
            _ => return Err("shims are started by the node agent, not by hand".to_owned()),
        };
        fields.finish().map(|()| task)
    }
}

impl Container {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("dir", &self.dir);
        fields.put("log", &self.log);
        self.runtime.write(&mut fields);
        fields.put("layers", self.layers.to_string());
        fields.put("cgroup", &self.cgroup);
        fields.put("shim-cgroup", &self.shim_cgroup);
        fields.flag("stdin", self.stdin != Stdin::Empty);
        fields.flag("stdin-once", self.stdin == Stdin::Once);
        fields.flag("terminal", self.terminal);
        fields.flag("leaves-processes", self.leaves_processes);
        for shared in &self.shared {
            fields.put("shared", &shared.source);
            fields.put("shared-at", &shared.place);
        }
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        let stdin = match (fields.flag("stdin"), fields.flag("stdin-once")) {
            (false, _) => Stdin::Empty,
            (true, false) => Stdin::Open,
            (true, true) => Stdin::Once,
        };
        let (sources, places) = (fields.all("shared"), fields.all("shared-at"));
        if sources.len() != places.len() {
            return Err("as many fields shared as shared-at are expected".to_owned());
        }
        let shared = sources.into_iter().zip(places);
        Ok(Self {
            dir: fields.path("dir")?,
            log: fields.path("log")?,
            runtime: OciRuntime::read(fields)?,
            layers: fields.text("layers")?.parse().map_err(|_| "the field layers is no number")?,
            cgroup: fields.text("cgroup")?,
            shim_cgroup: fields.text("shim-cgroup")?,
            stdin,
            terminal: fields.flag("terminal"),
            leaves_processes: fields.flag("leaves-processes"),
            shared: shared
                .map(|(source, place)| Shared { source: source.into(), place: place.into() })
                .collect(),
        })
    }
}

impl OciRuntime {
    fn write(&self, fields: &mut Writer) {
        fields.put("runtime", &self.binary);
        fields.put("runtime-root", &self.root);
        fields.put("id", &self.id);
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        let (binary, root) = (fields.path("runtime")?, fields.path("runtime-root")?);
        Ok(Self { binary, root, id: fields.text("id")? })
    }
}

impl Command {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("dir", &self.dir);
        self.runtime.write(&mut fields);
        fields.put("shim-cgroup", &self.shim_cgroup);
        fields.flag("terminal", self.terminal);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        let (dir, runtime) = (fields.path("dir")?, OciRuntime::read(fields)?);
        Ok(Self { dir, runtime, shim_cgroup: fields.text("shim-cgroup")?, terminal: fields.flag("terminal") })
    }
}

impl Pause {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("cgroup", &self.cgroup);
        fields.maybe("ipc", self.ipc.as_ref());
        fields.maybe("network", self.network.as_ref());
        fields.put("root", &self.root);
        fields.put("namespace", &self.namespace);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        Ok(Self {
            cgroup: fields.text("cgroup")?,
            ipc: fields.optional("ipc"),
            network: fields.optional("network"),
            root: fields.path("root")?,
            namespace: fields.path("namespace")?,
        })
    }
}
