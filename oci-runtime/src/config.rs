//! How the runtime is set up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an [`crate::OciRuntime`] needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where layers, containers and their state are kept; one running agent per directory.
    pub data_dir: PathBuf,
    /// The OCI runtime: a path, or a name looked up in `PATH` (`runc`, `crun`, `youki`).
    pub runtime_binary: PathBuf,
    /// The cgroup that the shims' own are below: beside the pods', so that the pods' limits are theirs alone.
    pub shims_cgroup: String,
    /// The time recorded for what the agent, not a shim, observes.
    pub clock: Clock,
    /// Largest size of one unpacked layer, against archives that unpack to more than the disk holds.
    pub max_layer_bytes: u64,
}

impl Config {
    /// The usual set-up: runc, the system's time, layers of up to 64 GiB.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            runtime_binary: PathBuf::from("runc"),
            shims_cgroup: "/wherry-shims".to_owned(),
            clock: Arc::new(Timestamp::now),
            max_layer_bytes: 64 << 30,
        }
    }

    /// The runtime's binary as an absolute path, `None` if there is no such program.
    pub(crate) fn find_binary(&self) -> Option<PathBuf> {
        let executable =
            |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
        if self.runtime_binary.components().count() > 1 {
            return Some(self.runtime_binary.clone()).filter(|path| executable(path));
        }
        // Service managers and sudo often leave sbin out of PATH.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let directories = std::env::split_paths(&path).chain(usual);
        directories.map(|directory| directory.join(&self.runtime_binary)).find(|path| executable(path))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("runtime_binary", &self.runtime_binary)
            .field("shims_cgroup", &self.shims_cgroup)
            .field("max_layer_bytes", &self.max_layer_bytes)
            .finish_non_exhaustive()
    }
}
