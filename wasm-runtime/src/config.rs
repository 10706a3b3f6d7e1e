//! What a [`WasmRuntime`](crate::WasmRuntime) is told when it is made.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::handed::Listening;
use crate::interfaces::keyvalue::redis::Redis;
use crate::names::{Names, NodeNames};
use crate::paths::{Network, Paths};

/// Tells the time of log records and container states.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the runtime keeps its files, which clock it reads, what it bounds.
#[derive(Clone)]
pub struct Config {
    /// Directory of this runtime alone; it is made, for its owner only.
    pub data_dir: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Bounds.
    pub limits: Limits,
    /// How guests find hosts by their names.
    pub names: Arc<dyn Names>,
    /// Where requests of guests lead, so that those to guests of this process are handed over.
    pub paths: Arc<dyn Paths>,
    /// Where servers are found by others of this process.
    pub listening: Listening,
    /// The node's own addresses, which guests reach only where they are named.
    pub node_addresses: Vec<IpAddr>,
    /// Where the output of programs goes.
    pub output: Output,
    /// Whether programs are compiled; else there must be code of them that was compiled before, or imported. No build without the feature
    /// `compiler` does.
    pub compiles: bool,
    /// The directory of another runtime, whose [imported code](crate::ImportedCode) counts as well.
    pub imported: Option<PathBuf>,
    /// Where Pods that say so have what they keep by `wasi:keyvalue`, if anywhere.
    pub redis: Option<Redis>,
    /// The file in which the core dump of a guest that traps is written, whatever its Pod asks for.
    pub core_dump: Option<PathBuf>,
}

/// Where the output of programs goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// To the log file of their container.
    #[default]
    Logs,
    /// To that of this process, whose input they read.
    Inherited,
}

impl Config {
    /// The default bounds, the node's own resolver, and all requests by the network.
    pub fn new(data_dir: impl Into<PathBuf>, clock: Clock) -> Self {
        let (limits, names, output) = (Limits::default(), Arc::new(NodeNames), Output::default());
        let (data_dir, paths) = (data_dir.into(), Arc::new(Network));
        Self {
            data_dir,
            clock,
            limits,
            names,
            paths,
            listening: Listening::default(),
            node_addresses: Vec::new(),
            output,
            core_dump: None,
            compiles: cfg!(feature = "compiler"),
            imported: None,
            redis: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds of the runtime as a whole and of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances there can be at one time; fewer where address space is scarce.
    pub instances: u32,
    /// The largest image that is compiled.
    pub image_bytes: u64,
    /// Requests one container serves at a time; more wait.
    pub concurrency: usize,
    /// How long a request may wait to be served before it is refused with 503.
    pub queue_timeout: Duration,
    /// How long a component may take to begin its response before the client gets 504.
    pub response_timeout: Duration,
    /// Sockets that the instances of one container may have open together, with connections of outgoing requests.
    pub sockets: usize,
    /// Files, sockets, streams and whatever else an instance may have open at one time.
    pub handles: usize,
    /// What the containers of one Pod, or those that share a volume for it, may keep by `wasi:keyvalue` together.
    pub keyvalue_bytes: usize,
    /// The memory of a guest of which a core dump is written; there is none of one that has more.
    pub core_dump_bytes: u64,
    /// Core dumps there may be in a directory.
    pub core_dumps: usize,
    /// How long a component may go on after its response ended or its client left.
    pub linger: Duration,
    /// How long an instance waits for a request.
    pub spare_idle: Duration,
    /// A stopping server goes on accepting until no request has come for this long: those who send them learn
    /// of the stop a little later than the server.
    pub quiet: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1000,
            image_bytes: 256 << 20,
            concurrency: 256,
            queue_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_mins(5),
            sockets: 1024,
            handles: 4096,
            keyvalue_bytes: 16 << 20,
            core_dump_bytes: 128 << 20,
            core_dumps: 8,
            linger: Duration::from_secs(10),
            spare_idle: Duration::from_secs(5),
            quiet: Duration::from_millis(300),
        }
    }
}
