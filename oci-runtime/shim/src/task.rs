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
const PAUSE_AS_USERS: &str = "pause-as-users";
const FIRST_PROCESS: &str = "first-process";
const USERS: &str = "users";
const AS_USERS: &str = "as-users";

/// What a shim does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Runs a container until it has ended.
    Container(Box<Container>),
    /// Runs a command beside a container's program until it has ended, or its standard input is closed.
    Command(Command),
    /// Begins the processes of a pod.
    Pause(Pause),
    /// Begins the processes of a pod that has users for itself, as one of these.
    PauseAsUsers(PauseAsUsers),
    /// Is the first of a pod's processes, until it is killed.
    FirstProcess,
    /// Makes the namespaces of a pod's own users.
    Users(Users),
    /// Is in the namespaces that are made so, until its standard input is closed.
    AsUsers,
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
    pub shared: Vec<Bind>,
    /// The users it has, if its pod has some for itself.
    pub users: Option<Mapping>,
    /// Volumes that are shown as if they belonged to these users.
    pub mapped: Vec<Bind>,
}

/// The users of a pod that has some for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Their namespace.
    pub namespace: PathBuf,
    /// The id of the node that is 0 in the pod.
    pub first_id: u32,
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

/// A volume that the shim mounts before the OCI runtime does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
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
    /// The id of the node that is 0 in a pod that has users for itself.
    pub first_id: Option<u32>,
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
    /// The namespace of the pod's users, if it has some for itself.
    pub user: Option<PathBuf>,
    /// What the first one has for a file system.
    pub root: PathBuf,
    /// Where the namespace of the processes is mounted.
    pub namespace: PathBuf,
}

/// How the processes of a pod begin that has users for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseAsUsers {
    /// The namespace of these users.
    pub user: PathBuf,
    /// What the first process has for a file system.
    pub root: PathBuf,
}

/// How a pod gets users of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Where their namespace is mounted.
    pub user: PathBuf,
    /// Where a network namespace of theirs is mounted.
    pub network: PathBuf,
    /// Where an IPC namespace of theirs is mounted.
    pub ipc: PathBuf,
    /// The id of the node that is 0 in the pod.
    pub first_id: u32,
    /// How many there are.
    pub count: u32,
    /// A directory that must be one that can be shown as if it belonged to them.
    pub maps: PathBuf,
}

impl Task {
    /// As arguments of the shim's program.
    pub fn to_args(&self) -> Vec<OsString> {
        match self {
            Self::Container(task) => task.write(Writer::new(CONTAINER)),
            Self::Command(task) => task.write(Writer::new(COMMAND)),
            Self::Pause(task) => task.write(Writer::new(PAUSE)),
            Self::PauseAsUsers(task) => task.write(Writer::new(PAUSE_AS_USERS)),
            Self::FirstProcess => Writer::new(FIRST_PROCESS),
            Self::Users(task) => task.write(Writer::new(USERS)),
            Self::AsUsers => Writer::new(AS_USERS),
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
            Some(PAUSE_AS_USERS) => Self::PauseAsUsers(PauseAsUsers::read(&mut fields)?),
            Some(FIRST_PROCESS) => Self::FirstProcess,
            Some(USERS) => Self::Users(Users::read(&mut fields)?),
            Some(AS_USERS) => Self::AsUsers,
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
        write_binds(&mut fields, SHARED, &self.shared);
        if let Some(users) = &self.users {
            fields.put("users", &users.namespace);
            fields.put("first-id", users.first_id.to_string());
        }
        write_binds(&mut fields, MAPPED, &self.mapped);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        let stdin = match (fields.flag("stdin"), fields.flag("stdin-once")) {
            (false, _) => Stdin::Empty,
            (true, false) => Stdin::Open,
            (true, true) => Stdin::Once,
        };
        let users = match fields.optional("users") {
            Some(namespace) => Some(Mapping { namespace, first_id: fields.number("first-id")? }),
            None => None,
        };
        Ok(Self {
            dir: fields.path("dir")?,
            log: fields.path("log")?,
            runtime: OciRuntime::read(fields)?,
            layers: fields.number("layers")?,
            cgroup: fields.text("cgroup")?,
            shim_cgroup: fields.text("shim-cgroup")?,
            stdin,
            terminal: fields.flag("terminal"),
            leaves_processes: fields.flag("leaves-processes"),
            shared: read_binds(fields, SHARED)?,
            users,
            mapped: read_binds(fields, MAPPED)?,
        })
    }
}

/// The names of the fields of binds: where they come from, and where they are put.
type BindFields = (&'static str, &'static str);
const SHARED: BindFields = ("shared", "shared-at");
const MAPPED: BindFields = ("mapped", "mapped-at");

fn write_binds(fields: &mut Writer, (source, place): BindFields, binds: &[Bind]) {
    for bind in binds {
        fields.put(source, &bind.source);
        fields.put(place, &bind.place);
    }
}

fn read_binds(fields: &mut Reader, (source, place): BindFields) -> Result<Vec<Bind>, String> {
    let (sources, places) = (fields.all(source), fields.all(place));
    if sources.len() != places.len() {
        return Err(format!("as many fields {source} as {place} are expected"));
    }
    let binds = sources.into_iter().zip(places);
    Ok(binds.map(|(source, place)| Bind { source: source.into(), place: place.into() }).collect())
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
        fields.maybe("first-id", self.first_id.map(|id| id.to_string()));
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        Ok(Self {
            dir: fields.path("dir")?,
            runtime: OciRuntime::read(fields)?,
            shim_cgroup: fields.text("shim-cgroup")?,
            terminal: fields.flag("terminal"),
            first_id: if fields.has("first-id") { Some(fields.number("first-id")?) } else { None },
        })
    }
}

impl Pause {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("cgroup", &self.cgroup);
        fields.maybe("ipc", self.ipc.as_ref());
        fields.maybe("network", self.network.as_ref());
        fields.maybe("user", self.user.as_ref());
        fields.put("root", &self.root);
        fields.put("namespace", &self.namespace);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        Ok(Self {
            cgroup: fields.text("cgroup")?,
            ipc: fields.optional("ipc"),
            network: fields.optional("network"),
            user: fields.optional("user"),
            root: fields.path("root")?,
            namespace: fields.path("namespace")?,
        })
    }
}

impl PauseAsUsers {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("user", &self.user);
        fields.put("root", &self.root);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        Ok(Self { user: fields.path("user")?, root: fields.path("root")? })
    }
}

impl Users {
    fn write(&self, mut fields: Writer) -> Writer {
        fields.put("user", &self.user);
        fields.put("network", &self.network);
        fields.put("ipc", &self.ipc);
        fields.put("first-id", self.first_id.to_string());
        fields.put("count", self.count.to_string());
        fields.put("maps", &self.maps);
        fields
    }

    fn read(fields: &mut Reader) -> Result<Self, String> {
        Ok(Self {
            user: fields.path("user")?,
            network: fields.path("network")?,
            ipc: fields.path("ipc")?,
            first_id: fields.number("first-id")?,
            count: fields.number("count")?,
            maps: fields.path("maps")?,
        })
    }
}
